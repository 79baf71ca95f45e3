"""Timing cells one after another, each in a process that holds nothing else.

A process is handed one job and ends after it. If it dies or hangs, that is a row, and the next
job gets a new one. The parent alone writes results.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from cellbench.errors import CellbenchError
from cellbench.measure.environment import environment
from cellbench.record import AnyLine, Environment, Failure, Speed, Status
from cellbench.sweep.failure import failure
from cellbench.sweep.machine import Keep, Machine, limit_memory, redirect, settle
from cellbench.sweep.signals import leave_to_parent, start
from cellbench.sweep.speed import failed_speed, run_speed
from cellbench.sweep.speed_jobs import SpeedJob

LOG = "perf.log"

HELLO_LIMIT_S = 120.0
"""How long a process may take to import torch and find its device."""


@dataclass(frozen=True, slots=True)
class Known:
    """A job has been timed before."""

    job: SpeedJob


@dataclass(frozen=True, slots=True)
class Began:
    """The timing of a job began."""

    job: SpeedJob


@dataclass(frozen=True, slots=True)
class Ended:
    """A job has its record, and the record is kept."""

    job: SpeedJob
    speed: Speed


SpeedEvent = Known | Began | Ended


def time_jobs(
    jobs: Sequence[SpeedJob],
    machine: Machine,
    dtype: str,
    *,
    is_done: Callable[[SpeedJob, str], bool],
    keep: Keep,
) -> Iterator[SpeedEvent]:
    """Time `jobs` one after another; keep each record, then tell of it.

    However it ends, it leaves no process behind.

    Args:
        machine: Where.
        dtype: Of all jobs.
        is_done: Whether a job has been timed before, in the environment of this digest.
        keep: Puts a line on disk before it returns.
    """
    process: Process | None = None
    try:
        for job in jobs:
            process = process or Process(machine, dtype, keep)
            if is_done(job, process.env):
                yield Known(job)
                continue
            yield Began(job)
            speed = process.time(job)
            keep(speed)
            process.close()
            process = None
            yield Ended(job, speed)
    finally:
        if process is not None:
            process.close()


class Process:
    """A fresh interpreter that times one job.

    Args:
        machine: Where it runs.
        dtype: Of the job.
        keep: Gets its environment.

    Attributes:
        env: Digest of its environment; "" if it died before it could tell.
    """

    def __init__(self, machine: Machine, dtype: str, keep: Keep) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, machine, dtype), daemon=True)
        start(self._process)
        theirs.close()
        self.env = ""
        found = self._hear(HELLO_LIMIT_S)
        if isinstance(found, Environment):
            keep(found)
            self.env = found.digest

    def time(self, job: SpeedJob) -> Speed:
        """Return the record of `job`, whatever happens."""
        with contextlib.suppress(BrokenPipeError):  # it is dead; `_hear` will say so
            self._connection.send(job)
        found = self._hear(job.time_limit_s)
        if isinstance(found, Speed):
            return found
        if isinstance(found, Failure):
            return failed_speed(job, self.env, Status.CRASHED, found)
        text = f"not timed within {job.time_limit_s:g} s; allow more with --time-limit"
        return failed_speed(job, self.env, Status.TIMEOUT, Failure(type="Timeout", message=text))

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _hear(self, limit_s: float) -> AnyLine | Failure | None:
        """Return what it says; why it died; None if it is silent for too long."""
        try:
            if not self._connection.poll(limit_s):
                return None
            said: AnyLine | Failure = self._connection.recv()
        except (EOFError, ConnectionResetError):
            return self._last_words()
        return said

    def _last_words(self) -> Failure:
        self._process.join(timeout=5)
        code = self._process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        if how == "SIGKILL":
            how += ", often the system's answer to a lack of memory"
        text = f"the process ended ({how}); what it printed is in logs/{LOG}"
        return Failure(type="WorkerDied", message=text)


def _serve(connection: Connection, machine: Machine, dtype: str) -> None:
    """Time the one job that comes over `connection`. Runs in a process of its own."""
    leave_to_parent()
    redirect(machine.logs / LOG)
    limit_memory(machine.memory_bytes)
    device = torch.device(machine.device)
    settle(machine.threads)
    found = environment(device, dtype, machine.threads)
    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent is gone
        connection.send(found)
        connection.send(_answer(connection, device, found.digest))


def _answer(connection: Connection, device: torch.device, env: str) -> Speed | Failure:
    try:
        job: SpeedJob = connection.recv()
    except CellbenchError as error:  # a cell that the parent could build, and this process cannot
        return failure(error)[1]
    return run_speed(job, device, env)
