"""By how much one sample lies above another, whatever their distribution: Hodges and Lehmann."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


def shift(
    first: NDArray[np.float64], second: NDArray[np.float64], *, widen: float = 1.0, level: float
) -> tuple[float, float | None, float | None]:
    """Return how far `second` lies above `first`, and between what bounds; None for no bound.

    The median of all differences between a member of one and a member of the other; bounds are
    those differences that the Mann-Whitney test cannot tell from the truth.

    Source: Hodges & Lehmann 1963, "Estimates of Location Based on Rank Tests"; the bounds by the
    normal approximation of Hollander & Wolfe 1999, section 4.3.

    Args:
        widen: By which factor the variance of the test's statistic is larger than for independent
            values: (1 + rho) / (1 - rho) of noise with a lag-1 correlation of rho.
        level: Of the interval: 0.95.
    """
    differences = np.sort(np.subtract.outer(second, first).ravel())
    m, n = len(first), len(second)
    spread = math.sqrt(widen * m * n * (m + n + 1) / 12)
    outside = math.floor(m * n / 2 - NormalDist().inv_cdf((1 + level) / 2) * spread)
    middle = float(np.median(differences))
    if outside < 1:
        return middle, None, None
    return middle, float(differences[outside - 1]), float(differences[-outside])
