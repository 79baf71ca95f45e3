"""How many workers share a machine, and what each of them has of it."""

from __future__ import annotations

from collections.abc import Iterable

from cellbench.measure.environment import usable_cpus
from cellbench.sweep.accounts import free_bytes
from cellbench.sweep.estimate import operations_a_step
from cellbench.sweep.plan import Job
from cellbench.sweep.room import Boundless, Room, Shared, sharers

SMALL = 1e8
"""Operations of one time step of a batch, up to which a second thread costs more than it does."""


def default_workers(device: str) -> int:
    """Return how many trials to train at a time: one a CPU, or on a GPU what its memory allows.

    Args:
        device: As torch names it.
    """
    if device.startswith("cuda"):
        return sharers(free_bytes(device), usable_cpus())
    return usable_cpus()


def threads_each(jobs: Iterable[Job], device: str, workers: int) -> int:
    """Return the CPU threads of a worker: one, but where CPUs are idle and steps are big.

    Args:
        jobs: What the workers train.
        device: As torch names it.
        workers: That train at a time.
    """
    if device.startswith("cuda") or all(operations_a_step(job) <= SMALL for job in jobs):
        return 1
    return max(1, usable_cpus() // workers)


def room_for(device: str, workers: int) -> Room:
    """Return what grants a device's memory; a CPU's is shared out when a worker starts.

    Args:
        device: As torch names it.
        workers: That train at a time.
    """
    if device.startswith("cuda") and workers > 1:
        return Shared(free_bytes(device), workers)
    return Boundless()
