"""A worker process, as its parent sees it."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic

from msgspec.structs import replace

from cellbench.record import Environment, Failure, Record, Status, Trial
from cellbench.sweep.again import otherwise
from cellbench.sweep.events import Event, Finished, Looked, Started, Work
from cellbench.sweep.machine import Keep, Machine
from cellbench.sweep.plan import Job, Stack, Unit
from cellbench.sweep.room import Grant
from cellbench.sweep.serve import Done, Message, Order, Seen, serve
from cellbench.sweep.signals import start
from cellbench.sweep.worker import failed_measurement, failed_trial, now
from cellbench.unroll import Way

GRACE_S = 30.0
"""How long a worker may go on past its time limit before it is killed: a step that hangs."""

STARTING_S = 120.0
"""How long a process may take to import torch and to find its device."""

COMPILING_S = 300.0
"""How long compiling may take, which no time limit counts."""

MEASURING_LIMIT_S = 900.0
"""How long one measurement may take before its worker is killed."""

Target = Callable[[Connection, Machine, Path], None]


class Worker:
    """One process, and the work it has in hand.

    Args:
        machine: Where it runs.
        name: Of its log file.
        target: What the process does; tests pass one that does something else.

    Attributes:
        work: What it has in hand; None when it waits for more.
        env: Digest of its environment; "" before it has told.
        peak_bytes: Most memory of the device that its last work took; None where nobody counts,
            or if it did not come to its end.
    """

    def __init__(self, machine: Machine, name: str, target: Target = serve) -> None:
        self.work: Work | None = None
        self.env = ""
        self.peak_bytes: int | None = None
        self._is_gpu = machine.device.startswith("cuda")
        self._is_spoiled = False
        self._grant = Grant()
        self._left: list[Unit | Job] = []  # of the work in hand, what has no record
        self._due_s = math.inf
        self._log = machine.logs / f"{name}.log"
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=target, args=(theirs, machine, self._log), daemon=True
        )
        start(self._process)
        theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether it can be given work."""
        return not self.connection.closed

    def give(self, work: Work, grant: Grant) -> Started:
        """Hand over one piece of work, and the memory that it may take."""
        self.work = work
        self.peak_bytes = None
        self._grant = grant
        self._left = list(work.units) if isinstance(work, Stack) else [work]
        starting_s = 0.0 if self.env else STARTING_S
        self._due_s = monotonic() + patience_s(work) + starting_s
        with contextlib.suppress(BrokenPipeError):  # it is dead; `events` will say so
            self.connection.send(Order(work, grant))
        return Started(work)

    def greeting(self, keep: Keep) -> str:
        """Wait for the digest of its environment; "" if it died before it could tell."""
        list(self._hear(keep))
        return self.env

    def events(self, keep: Keep) -> Iterator[Event]:
        """Yield what it has said by now, records kept; a dead or hanging process is closed."""
        while self.work is not None and self.connection.poll():
            yield from self._hear(keep)
        if self.work is not None and monotonic() > self._due_s:
            why = Failure(type="Hung", message="a step did not end within the time limit")
            yield from self._lose(Status.TIMEOUT, why, keep)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _hear(self, keep: Keep) -> Iterator[Event]:
        """Take one message."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            yield from self._lose(Status.CRASHED, self._last_words(), keep)
            return
        if isinstance(message, Environment):
            keep(message)
            self.env = message.digest
            if self.work is not None:
                self._due_s = monotonic() + patience_s(self.work)
        elif isinstance(message, Failure):
            yield from self._lose(Status.CRASHED, message, keep)
        elif isinstance(message, Seen):
            yield Looked(self._unit(message.seed), message.point)
        elif isinstance(message, Done):
            yield from self._done(message, keep)
        else:
            finished = self._finished(message)  # first: Ctrl-C may come out of `keep`
            keep(message)
            yield finished

    def _unit(self, seed: int) -> Unit:
        return next(one for one in self._left if isinstance(one, Unit) and one.seed == seed)

    def _finished(self, record: Record) -> Finished:
        self._is_spoiled |= self._is_gpu and record.status is Status.CRASHED
        one = self._unit(record.seed) if isinstance(record, Trial) else self._left[0]
        self._left.remove(one)
        return Finished(one, record)

    def _done(self, done: Done, keep: Keep) -> Iterator[Event]:
        self._is_spoiled |= self._is_gpu and done.status is Status.CRASHED
        if self._is_spoiled:  # CUDA may be of no use to the next
            self.close()
        if done.why is None:
            self.peak_bytes = done.peak_bytes
        why = done.why or Failure(type="Unfinished", message="it ended without a result")
        status = Status.CRASHED if done.why is None else done.status
        yield from self._lay_down(status, why, keep)

    def _lose(self, status: Status, why: Failure, keep: Keep) -> Iterator[Event]:
        """End a process that can do no more work."""
        if self.work is not None:
            self.close()
            yield from self._lay_down(status, why, keep)

    def _lay_down(self, status: Status, why: Failure, keep: Keep) -> Iterator[Event]:
        """End the work; what of it has no record is to be done differently, or has failed."""
        work, self.work = self.work, None
        left, self._left = self._left, []
        if isinstance(work, Stack):
            units = [one for one in left if isinstance(one, Unit)]
            returned = otherwise(work, units, status, why, self._grant)
            if returned is not None:
                yield returned
                return
        for one in left:
            record = self._failed(one, status, why)
            if isinstance(record, Trial) and isinstance(work, Stack):
                record = replace(record, fallback=work.fallback)
            keep(record)
            yield Finished(one, record)

    def _failed(self, one: Unit | Job, status: Status, why: Failure) -> Record:
        if isinstance(one, Job):
            return failed_measurement(one, self.env, status, why)
        return replace(failed_trial(one, status, why, now()), env=self.env)

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


def patience_s(work: Work) -> float:
    """Return how long a worker may be silent about `work` before it is taken for hanging."""
    if isinstance(work, Job):
        limit_s: float | None = MEASURING_LIMIT_S
        way = Way(work.settings.unroll)
    else:
        limit_s, way = work.time_limit_s, Way(work.job.settings.unroll)
    if limit_s is None:
        return math.inf
    compiles = way not in {Way.STEPWISE, Way.PARALLEL}
    return limit_s + GRACE_S + compiles * COMPILING_S
