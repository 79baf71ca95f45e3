"""Worker processes on this machine.

A worker is a fresh interpreter that is handed one piece of work after another over a pipe. If it
dies, what it was doing becomes a row, or goes back to be done differently, and the next piece gets
a new worker. The parent alone writes results.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait

from cellbench.sweep.events import Event, Returned
from cellbench.sweep.machine import Keep, Machine
from cellbench.sweep.plan import Job, Stack
from cellbench.sweep.process import Worker
from cellbench.sweep.room import Boundless, Grant, Room

POLL_S = 0.5


def train_stacks(
    stacks: Sequence[Stack],
    machine: Machine,
    *,
    jobs: int,
    keep: Keep,
    room: Room | None = None,
    hire: Callable[[Machine, str], Worker] = Worker,
) -> Iterator[Event]:
    """Train `stacks` in their order, at most `jobs` at a time; keep each trial, then tell of it.

    However it ends, it keeps what had arrived and leaves no process behind.

    Args:
        stacks: What to train. One that must wait for memory is overtaken.
        machine: Where.
        jobs: Workers.
        keep: Puts a line on disk before it returns.
        room: Grants the device's memory; without it, everybody may have all.
        hire: Makes a worker of this name.
    """
    queue = _Queue(stacks, room or Boundless())
    workers: list[Worker] = []
    try:
        while queue.waiting or workers:
            while len(workers) < jobs and (next_one := queue.take()):
                workers.append(hire(machine, f"worker-{len(workers)}"))
                yield workers[-1].give(*next_one)
            wait([worker.connection for worker in workers], timeout=POLL_S)
            for worker in list(workers):
                yield from queue.follow(worker, keep)
                if worker.work is None and worker.is_alive and (next_one := queue.take()):
                    yield worker.give(*next_one)
                elif worker.work is None:  # it would hold memory for nothing
                    worker.close()
                    workers.remove(worker)
    finally:
        _end(workers, keep)


class _Queue:
    """The stacks that wait, and the room that there is for them.

    Args:
        stacks: First come, first served, if there is room.
        room: Grants the device's memory.
    """

    def __init__(self, stacks: Sequence[Stack], room: Room) -> None:
        self.waiting = deque(stacks)
        self._room = room

    def take(self) -> tuple[Stack, Grant] | None:
        """Return the first stack that there is room for, with its grant."""
        for place, stack in enumerate(self.waiting):
            grant = self._room.ask(stack)
            if grant is not None:
                del self.waiting[place]
                return stack, grant
        return None

    def follow(self, worker: Worker, keep: Keep) -> Iterator[Event]:
        """Yield what `worker` tells; put what it gives back before all others."""
        stack = worker.work
        for event in worker.events(keep):
            if isinstance(event, Returned):
                self.waiting.extendleft(reversed(event.instead))
                if event.needs_all:
                    self._room.ran_out(event.work)
            yield event
        if isinstance(stack, Stack) and worker.work is None:
            self._room.end(stack, worker.peak_bytes)


def measure_jobs(
    jobs: Sequence[Job], machine: Machine, *, is_done: Callable[[Job, str], bool], keep: Keep
) -> Iterator[Event]:
    """Measure `jobs` one after another, each in a process that holds nothing else.

    Args:
        is_done: Whether a job has been measured before, in the environment of this digest.
    """
    worker: Worker | None = None
    try:
        for job in jobs:
            worker = worker or Worker(machine, "measuring")
            if is_done(job, worker.env or worker.greeting(keep)):
                continue
            yield worker.give(job, Grant())
            while worker.work is not None:
                wait([worker.connection], timeout=POLL_S)
                yield from worker.events(keep)
            worker.close()
            worker = None
    finally:
        _end([worker] if worker else [], keep)


def _end(workers: Sequence[Worker], keep: Keep) -> None:
    for worker in workers:
        if worker.is_alive:
            for _ in worker.events(keep):
                pass
        worker.close()
