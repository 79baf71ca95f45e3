"""What a worker process might say, for tests of who listens to it.

Each is the target of a process, and gets the connection, the machine and the name of its log.
"""

from __future__ import annotations

import os
import time

from msgspec.structs import replace
from records import ENVIRONMENT

from cellbench.record import Failure, Point, Status
from cellbench.sweep.plan import Stack
from cellbench.sweep.serve import Done, Order, Seen
from cellbench.sweep.worker import failed_trial

NO_ROOM = Failure(type="OutOfMemoryError", message="no room")


def trained(unit, **changes):
    """Return a trial of `unit` that went well."""
    blank = failed_trial(unit, Status.OK, NO_ROOM, "now")
    return replace(blank, error=None, steps=5, test_metric=0.5, **changes)


def orders(connection):
    """Yield the pieces of work as they come, after a greeting."""
    connection.send(ENVIRONMENT)
    while True:
        order: Order = connection.recv()
        assert isinstance(order.work, Stack)
        yield order


def trains_well(connection, *_) -> None:
    for order in orders(connection):
        for unit in order.work.units:
            connection.send(Seen(unit.seed, Point(step=5, train_loss=1.0, metric=0.5, elapsed_s=1)))
            connection.send(trained(unit, stacked=len(order.work.units)))
        connection.send(Done(peak_bytes=1000))


def dies_after_the_first_of_a_stack(connection, *_) -> None:
    for order in orders(connection):
        for n, unit in enumerate(order.work.units):
            if n:
                os._exit(9)
            connection.send(trained(unit, fallback=order.work.fallback))
        connection.send(Done())


def hangs_after_the_first_of_a_stack(connection, *_) -> None:
    for order in orders(connection):
        for n, unit in enumerate(order.work.units):
            while n:
                time.sleep(0.1)
            connection.send(trained(unit, fallback=order.work.fallback))
        connection.send(Done())


def has_room_for_the_first_of_a_share(connection, *_) -> None:
    for order in orders(connection):
        units = order.work.units
        enough = units if order.grant.is_all else units[:1]
        for unit in enough:
            granted = "all" if order.grant.is_all else str(order.grant.most_bytes)
            connection.send(trained(unit, run_id=granted, stacked=len(units)))
        done = Done() if enough == units else Done(Status.OOM, NO_ROOM)
        connection.send(done)


def has_room_for_all_alone(connection, *_) -> None:
    for order in orders(connection):
        if order.grant.is_all:
            for unit in order.work.units:
                connection.send(trained(unit, run_id="all"))
        connection.send(Done() if order.grant.is_all else Done(Status.OOM, NO_ROOM))


def never_has_room(connection, *_) -> None:
    for _ in orders(connection):
        connection.send(Done(Status.OOM, NO_ROOM))


def forgets_the_last(connection, *_) -> None:
    for order in orders(connection):
        for unit in order.work.units[:-1]:
            connection.send(trained(unit))
        connection.send(Done())


def crashes_every_trial(connection, *_) -> None:
    for order in orders(connection):
        for unit in order.work.units:
            why = Failure(type="RuntimeError", message=str(os.getpid()))
            connection.send(failed_trial(unit, Status.CRASHED, why, "now"))
        connection.send(Done())
