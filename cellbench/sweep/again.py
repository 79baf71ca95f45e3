"""What becomes of the units of a stack that ended before they did.

A stack is a way to save time, never a verdict: whatever goes wrong in one of several units, a
cell that cannot be stacked, memory for one and not for all, a process that dies, is tried again
with each unit alone. Only what fails there, with all the memory there is, has failed.
"""

from __future__ import annotations

from collections.abc import Sequence

from cellbench.record import Failure, Status
from cellbench.sweep.events import Returned
from cellbench.sweep.plan import Stack, Unit
from cellbench.sweep.room import Grant


def otherwise(
    stack: Stack, left: Sequence[Unit], status: Status, why: Failure, grant: Grant
) -> Returned | None:
    """Return how to train the units that are left of `stack`; None if they have failed.

    Args:
        stack: What was tried.
        left: Its units without a trial.
        status: How it ended.
        why: Likewise.
        grant: The memory that it had.
    """
    if not left:
        return None
    if status is Status.OOM and not grant.is_all:
        again = Stack(tuple(left), stack.fallback)
        return Returned(stack, (again,), "waits for the memory that others hold", needs_all=True)
    if len(stack.units) == 1:
        return None
    reason = why.message if why.type == "StackingError" else f"{why.type}: {why.message}"
    alone = tuple(Stack((unit,), f"not stacked: {reason}") for unit in left)
    return Returned(stack, alone, f"each seed alone now: {reason}")
