"""What a worker process does: one piece of work after another, as they come over a pipe."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from msgspec.structs import replace

from cellbench.errors import CellbenchError
from cellbench.measure.environment import environment
from cellbench.record import Environment, Failure, Measurement, Point, Status, Trial
from cellbench.sweep.accounts import accounts_of
from cellbench.sweep.events import Work
from cellbench.sweep.failure import failure
from cellbench.sweep.machine import Machine, limit_memory, redirect, settle
from cellbench.sweep.plan import Job
from cellbench.sweep.room import Grant
from cellbench.sweep.signals import leave_to_parent
from cellbench.sweep.worker import run_measurement, run_stack


@dataclass(frozen=True, slots=True)
class Order:
    """A piece of work, and the memory that it may take."""

    work: Work
    grant: Grant


@dataclass(frozen=True, slots=True)
class Seen:
    """A seed of the stack in hand looked at validation."""

    seed: int
    point: Point


@dataclass(frozen=True, slots=True)
class Done:
    """The work in hand has ended.

    Attributes:
        status: OK if every unit has its trial. Else the others are to be trained differently.
        why: It is not.
        peak_bytes: Most memory of the device that it took; None where nobody counts.
    """

    status: Status = Status.OK
    why: Failure | None = None
    peak_bytes: int | None = None


Message = Environment | Seen | Trial | Measurement | Done | Failure
"""What a worker says. A failure is of the order itself: it could not be read."""


def serve(connection: Connection, machine: Machine, log: Path) -> None:
    """Do what is asked over `connection`, until it closes. Runs in a process of its own."""
    leave_to_parent()
    redirect(log)
    limit_memory(machine.memory_bytes)
    device = torch.device(machine.device)
    settle(machine.threads)
    accounts = accounts_of(device)
    found = environment(device, "float32", machine.threads)
    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent is gone
        connection.send(found)
        while True:
            try:
                order: Order = connection.recv()
            except CellbenchError as error:  # a cell that the parent could build; not this process
                connection.send(failure(error)[1])
                continue
            accounts.open(order.grant.most_bytes)
            done = _carry_out(order, device, found.digest, connection.send)
            connection.send(dataclasses.replace(done, peak_bytes=accounts.peak_bytes()))
            settle(machine.threads)  # whatever the last cell did to it


def _carry_out(
    order: Order, device: torch.device, env: str, tell: Callable[[Message], None]
) -> Done:
    if isinstance(order.work, Job):
        tell(run_measurement(order.work, device, env))
        return Done()

    def keep(trial: Trial) -> None:
        if trial.status is Status.OOM and not order.grant.is_all:  # no verdict on the cell
            raise torch.OutOfMemoryError(trial.error.message if trial.error else "")
        tell(replace(trial, env=env))

    try:
        run_stack(order.work, device, look=lambda seed, p: tell(Seen(seed, p)), keep=keep)
    except Exception as error:  # noqa: BLE001 -- whatever a cell does is an answer
        return Done(*failure(error))
    return Done()
