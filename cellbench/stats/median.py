"""An interval for a median that assumes nothing about how samples are distributed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MedianInterval:
    """Two of the samples, between which the median of what they are drawn from lies.

    Attributes:
        low: The smaller one.
        high: The larger one.
        level: How sure that is, exactly: 0.94 of all such intervals are right.
    """

    low: float
    high: float
    level: float


def median_interval(samples: Sequence[float], level: float = 0.95) -> MedianInterval | None:
    """Return the narrowest interval of order statistics that covers the median in `level` or more.

    As many samples fall below the median as heads fall in as many throws of a coin, so between
    the k-th smallest and the k-th largest of n it lies with probability

        1 - 2 P(B < k),    B ~ Binomial(n, 1/2)

    Fewer than six samples never reach 0.95: they get the widest interval, smallest to largest,
    with the level that it has.

    Source: Conover 1999, Practical Nonparametric Statistics, 3rd ed., section 3.2.

    Args:
        samples: Independent and alike; of one process, that holds for blocks at best.
        level: Wanted.

    Returns:
        None for fewer than two samples.
    """
    ordered, count = sorted(samples), len(samples)
    if count < 2:  # noqa: PLR2004 -- one sample lies nowhere between two
        return None
    wanted = (k for k in range(count // 2, 1, -1) if _level(count, k) >= level)
    k = next(wanted, 1)
    return MedianInterval(ordered[k - 1], ordered[-k], _level(count, k))


def _level(count: int, k: int) -> float:
    """Return the probability that the median lies between the k-th smallest and largest."""
    below = sum(math.comb(count, n) for n in range(k))
    return 1.0 - 2.0 * below / float(2**count)
