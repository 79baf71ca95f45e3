"""Worker processes on this machine.

A worker is a fresh interpreter that is handed one piece of work after another over a pipe. If it
dies, what it was doing becomes a row, and the next piece gets a new worker. The parent alone
writes results.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic

import torch
from msgspec.structs import replace

from cellbench.errors import CellbenchError
from cellbench.measure.environment import environment
from cellbench.measure.precision import set_precision
from cellbench.record import (
    AnyLine,
    Environment,
    Failure,
    Measurement,
    Point,
    Record,
    Status,
    Trial,
)
from cellbench.sweep.failure import failure
from cellbench.sweep.plan import Job, Unit
from cellbench.sweep.worker import (
    failed_measurement,
    failed_trial,
    now,
    run_measurement,
    run_trial,
)

if sys.platform == "linux":
    import resource

GRACE_S = 30.0
"""How long a worker may go on past its time limit before it is killed: a step that hangs."""

MEASURING_LIMIT_S = 900.0
"""How long one measurement may take before its worker is killed."""

POLL_S = 0.5

Work = Unit | Job
Message = Environment | Point | Trial | Measurement | Failure
Keep = Callable[[AnyLine], None]
"""Puts a line on disk before it returns."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker began."""

    work: Work


@dataclass(frozen=True, slots=True)
class Looked:
    """A unit looked at validation."""

    work: Unit
    point: Point


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit or a job has its record, and the record is kept."""

    work: Work
    record: Trial | Measurement


Event = Started | Looked | Finished


@dataclass(frozen=True, slots=True)
class Machine:
    """Where workers run.

    Attributes:
        device: As torch names it.
        threads: CPU threads a worker.
        logs: Folder for what workers print.
        memory_bytes: Most memory a worker may hold, so that a trial that wants more ends as out
            of memory, and does not take the machine with it; None for no limit.
    """

    device: str
    threads: int
    logs: Path
    memory_bytes: int | None = None


class Worker:
    """One process, and the work it has in hand.

    Args:
        machine: Where it runs.
        name: Of its log file.
    """

    def __init__(self, machine: Machine, name: str) -> None:
        self.work: Work | None = None
        self.env = ""
        self._due_s = math.inf
        self._log = machine.logs / f"{name}.log"
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, machine, self._log), daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether it can be given work."""
        return not self.connection.closed

    def give(self, work: Work) -> Started:
        """Hand over one piece of work."""
        self.work = work
        limit_s = work.time_limit_s if isinstance(work, Unit) else MEASURING_LIMIT_S
        self._due_s = math.inf if limit_s is None else monotonic() + limit_s + GRACE_S
        with contextlib.suppress(BrokenPipeError):  # it is dead; `events` will say so
            self.connection.send(work)
        return Started(work)

    def greeting(self, keep: Keep) -> str:
        """Wait for the digest of its environment; "" if it died before it could tell."""
        self._hear(keep)
        return self.env

    def events(self, keep: Keep) -> Iterator[Event]:
        """Yield what it has said by now, records kept; a dead or hanging process is closed."""
        while self.work is not None and self.connection.poll():
            event = self._hear(keep)
            if event is not None:
                yield event
        if self.work is not None and monotonic() > self._due_s:
            why = Failure(type="Hung", message="a step did not end within the time limit")
            lost = self._lose(Status.TIMEOUT, why, keep)
            if lost is not None:
                yield lost

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _hear(self, keep: Keep) -> Event | None:
        try:
            message: Message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return self._lose(Status.CRASHED, self._last_words(), keep)
        if isinstance(message, Point):
            return Looked(self.work, message) if isinstance(self.work, Unit) else None
        if isinstance(message, Failure):
            return self._lose(Status.CRASHED, message, keep)
        keep(message)
        if isinstance(message, Environment):
            self.env = message.digest
            return None
        return self._finish(message)

    def _finish(self, record: Record) -> Event | None:
        work, self.work = self.work, None
        return Finished(work, record) if work is not None else None

    def _lose(self, status: Status, why: Failure, keep: Keep) -> Event | None:
        if self.work is None:
            return None
        record: Record
        if isinstance(self.work, Unit):
            record = replace(failed_trial(self.work, status, why, now()), env=self.env)
        else:
            record = failed_measurement(self.work, self.env, status, why)
        keep(record)
        self.close()
        return self._finish(record)

    def _last_words(self) -> Failure:
        self._process.join(timeout=5)
        code = self._process.exitcode
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name
            if how == "SIGKILL":
                how += ", often the system's answer to a lack of memory"
        message = f"the worker process ended ({how}); what it printed is in logs/{self._log.name}"
        return Failure(type="WorkerDied", message=message)


def train_units(
    units: Sequence[Unit], machine: Machine, *, jobs: int, keep: Keep
) -> Iterator[Event]:
    """Train `units`, at most `jobs` at a time; keep each trial, then tell of it.

    However it ends, it keeps what had arrived and leaves no process behind.
    """
    waiting = deque(units)
    workers: list[Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(Worker(machine, f"worker-{len(workers)}"))
                yield workers[-1].give(waiting.popleft())
            wait([worker.connection for worker in workers], timeout=POLL_S)
            for worker in list(workers):
                yield from worker.events(keep)
                if worker.work is None and worker.is_alive and waiting:
                    yield worker.give(waiting.popleft())
                elif worker.work is None:
                    worker.close()
                    workers.remove(worker)
    finally:
        _end(workers, keep)


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
            yield worker.give(job)
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


def _serve(connection: Connection, machine: Machine, log: Path) -> None:
    """Do what is asked over `connection`, until it closes. Runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _redirect(log)
    _limit_memory(machine.memory_bytes)
    device = torch.device(machine.device)
    _settle(machine.threads)
    found = environment(device, "float32", machine.threads)
    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent is gone
        connection.send(found)
        while True:
            connection.send(_answer(connection, device, found.digest))
            _settle(machine.threads)  # whatever the last cell did to it


def _settle(threads: int) -> None:
    """Set what is global in torch: one cell's changes must not reach the next."""
    set_precision()
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def _limit_memory(most_bytes: int | None) -> None:
    """Let allocations beyond a limit fail; only Linux counts what is asked for here."""
    if most_bytes is None or sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most_bytes = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, hard))


def _answer(connection: Connection, device: torch.device, env: str) -> Message:
    try:
        work: Work = connection.recv()
    except CellbenchError as error:  # a cell that the parent could build, and this process cannot
        return failure(error)[1]
    if isinstance(work, Unit):
        return replace(run_trial(work, device, look=connection.send), env=env)
    return run_measurement(work, device, env)


def _redirect(log: Path) -> None:
    """Send what this process prints, torch's own messages included, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
