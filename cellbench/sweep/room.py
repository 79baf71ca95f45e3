"""The memory of a device that several workers share.

A trial that shares a GPU must not fail for want of memory that others hold. So each stack is
granted a share, and its worker may not take more; what runs out of its share is no failure: it
waits until it can have the device to itself. Only what fails there has failed.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import final

from cellbench.sweep.plan import Stack

GIB = 1 << 30

CONTEXT_BYTES = GIB
"""What a process takes of a GPU besides its tensors: CUDA's context, libraries, workspaces."""

LEAST_SHARE_BYTES = 4 * GIB
"""What a worker should be able to have, before one more shares the device."""

MOST_SHARERS = 4
"""Workers on one GPU: more gain little, since all launch into one queue."""

USABLE = 0.95
"""How much of the free memory is given away; the rest is for what else grows meanwhile."""

MARGIN = 1.25
"""How much more than the peak of one stack is granted to the next of its job."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a stack may take.

    Attributes:
        most_bytes: Of the device, the context included; None for all there is.
    """

    most_bytes: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether there is no more to be had."""
        return self.most_bytes is None


class Room(abc.ABC):
    """Grants memory to stacks."""

    @abc.abstractmethod
    def ask(self, stack: Stack) -> Grant | None:
        """Grant memory to `stack`, which starts now; None if it must wait for others to end."""

    @abc.abstractmethod
    def end(self, stack: Stack, peak_bytes: int | None) -> None:
        """Take back what a stack was granted.

        Args:
            stack: It ended, or ran out, or its worker died.
            peak_bytes: The most its tensors took; None if that is not known.
        """

    @abc.abstractmethod
    def ran_out(self, stack: Stack) -> None:
        """Note that the share was too small: the units of `stack` get all, the next time."""


@final
class Boundless(Room):
    """Everybody may have all: one worker alone, or processes that the system holds to a limit."""

    def ask(self, stack: Stack) -> Grant:  # noqa: ARG002 -- it is the same for all
        return Grant()

    def end(self, stack: Stack, peak_bytes: int | None) -> None:
        """Nothing was counted."""

    def ran_out(self, stack: Stack) -> None:
        """There is no more to be had."""


@final
class Shared(Room):
    """Each stack gets what one of its job took before; the first of a job an equal share.

    Args:
        free_bytes: What the device has.
        sharers: Workers that train at a time.
    """

    def __init__(self, free_bytes: int, sharers: int) -> None:
        self._size_bytes = int(USABLE * free_bytes)
        self._share_bytes = self._size_bytes // sharers
        self._granted: dict[str, int] = {}
        self._peaks: dict[str, int] = {}  # of a unit, by job
        self._needs_all: set[str] = set()

    def ask(self, stack: Stack) -> Grant | None:
        wanted = self._wanted(stack)
        taken = sum(self._granted.values())
        if taken and taken + wanted > self._size_bytes:
            return None
        self._granted[_name(stack)] = wanted
        return Grant(None if wanted == self._size_bytes else wanted)

    def end(self, stack: Stack, peak_bytes: int | None) -> None:
        self._granted.pop(_name(stack), None)
        if peak_bytes is not None:
            each, key = math.ceil(peak_bytes / len(stack.units)), stack.job.costed.key
            self._peaks[key] = max(each, self._peaks.get(key, 0))

    def ran_out(self, stack: Stack) -> None:
        self._needs_all |= {unit.unit_id for unit in stack.units}

    def _wanted(self, stack: Stack) -> int:
        if any(unit.unit_id in self._needs_all for unit in stack.units):
            return self._size_bytes
        key = stack.job.costed.key
        if key not in self._peaks:
            return self._share_bytes
        tensors = MARGIN * self._peaks[key] * len(stack.units)
        return min(CONTEXT_BYTES + math.ceil(tensors), self._size_bytes)


def _name(stack: Stack) -> str:
    return stack.units[0].unit_id  # a unit is in one stack at a time


def sharers(free_bytes: int, cpus: int) -> int:
    """Return how many workers should share a GPU by default.

    Args:
        free_bytes: What the device has.
        cpus: Each worker needs one to launch from.
    """
    return max(1, min(MOST_SHARERS, cpus, free_bytes // LEAST_SHARE_BYTES))
