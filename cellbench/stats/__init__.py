"""What a few seeds say: pure functions of arrays."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def median_to_solve(values: Sequence[float | None]) -> float | None:
    """Return the median of steps (or seconds) to solve, when None means "not within the budget".

    The censored values lie above all others, wherever they are; so this is the Kaplan-Meier
    median of data censored at one common budget. None if half or more did not solve: then the
    median lies beyond the budget, and no number is right.
    """
    if not values:
        return None
    ranked = sorted(math.inf if value is None else value for value in values)
    middle = statistics.median(ranked)
    return middle if math.isfinite(middle) else None


def reach(skills: Sequence[tuple[int, float | None]], *, enough: float) -> int | None:
    """Return the longest length up to which skill is enough at every one; None if at none.

    Args:
        skills: Length and skill there, shortest first; None where there is none.
        enough: The least skill that counts.
    """
    found = None
    for length, skill in skills:
        if skill is None or skill < enough:
            break
        found = length
    return found


def middle_and_range(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Return median, least and greatest; None if there are none.

    No mean and no deviation: outcomes of long-term tasks are bimodal, and a few seeds fill
    their range.
    """
    if not values:
        return None
    return statistics.median(values), min(values), max(values)
