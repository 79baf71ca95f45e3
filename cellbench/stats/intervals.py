"""Intervals of a mean that hold for few values.

Every interval carries its level, its number of values and its method. There is no percentile
bootstrap here: at three values it holds the truth in 74 % where it says 95 %; see
docs/statistics.md, and benchmarks/coverage.py, which measured it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellbench.stats.student import t_quantile

RESAMPLES = 1999
"""Of a bootstrap: odd and one less than 2000, so that 2.5 % is the 50th of them."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What was found, and where the truth may lie.

    Attributes:
        estimate: The one number to show.
        low: Lower end; -inf where nothing bounds it.
        high: Upper end; inf likewise.
        level: Share of such intervals that shall hold the truth: 0.95.
        n: Values that it is made of: seeds, or runs.
        method: How it was made, in words that a footnote can show.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    method: str


def t_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean: right for normal values at any number of them.

    Of values that solve or fail it is wrong below some twenty values. One value has no spread,
    so its interval is the whole line.

    Source: Student 1908.

    Raises:
        ValueError: There are no values, or one is not finite, or the level is none.
    """
    array = checked(values, level)
    n, mean = len(array), float(array.mean())
    if n == 1:
        return Interval(mean, -math.inf, math.inf, level, n, "t")
    half = t_quantile((1 + level) / 2, n - 1) * float(array.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, level, n, "t")


def bootstrap_t_interval(
    values: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the studentised bootstrap's interval of the mean.

    A resample of equal values has no spread, and lies infinitely far off unless its mean is that
    of all. At three values such are one in nine, and the interval is the whole line.

    Source: Efron 1981, "Nonparametric standard errors and confidence intervals", section 9.

    Raises:
        ValueError: There are no values, or one is not finite, or the level is none.
    """
    array = checked(values, level)
    n, mean = len(array), float(array.mean())
    spread = float(array.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    if n == 1:
        return Interval(mean, -math.inf, math.inf, level, n, "bootstrap-t")
    if spread == 0:
        return Interval(mean, mean, mean, level, n, "bootstrap-t")
    picks = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    ratios = studentised(array[picks], mean)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(
        mean, mean - float(high) * spread, mean - float(low) * spread, level, n, "bootstrap-t"
    )


def studentised(resamples: np.ndarray, mean: float) -> np.ndarray:
    """Return how many standard errors each resample's mean is from `mean`; 0 at it, or infinite.

    Args:
        resamples: Resamples x values.
        mean: Of the values themselves.
    """
    off = resamples.mean(axis=1) - mean
    equal = (resamples == resamples[:, :1]).all(axis=1)
    errors = resamples.std(axis=1, ddof=1) / math.sqrt(resamples.shape[1])
    far = np.where(np.isclose(off, 0), 0.0, np.copysign(math.inf, off))
    return np.where(equal, far, off / np.where(equal, 1.0, errors))


def bounded_interval(
    values: Sequence[float], *, low: float = 0.0, high: float = 1.0, level: float = 0.95
) -> Interval:
    """Return Gaffke's interval of the mean of values that cannot leave `low` to `high`.

    It asks nothing else of the values, so it holds for outcomes that solve or fail as for others.
    Of 0 and 1 it is the exact interval of a rate (Clopper and Pearson 1934).

    The upper end is the quantile at (1 + level) / 2 of

        sum_i D_i x_(i),    i = 1 ... n + 1,    x_(n+1) = high

    with x sorted, and D uniform on the simplex; the lower end is its mirror image. That sum's
    density is the B-spline with knots x, so the quantile is found without drawing anything.

    Source: Gaffke 2005, "Three test statistics for a nonparametric one-sided hypothesis on the
    mean of a nonnegative variable"; as an interval, Learned-Miller & Thomas 2019,
    arXiv:1905.06208. The spline: Curry & Schoenberg 1966. That it always covers is proven for
    0 and 1 (there it is exact); for other values no exception is known.

    Raises:
        ValueError: There are no values, or one is outside, or the level is none.
    """
    array = checked(values, level)
    if low >= high or array.min() < low or array.max() > high:
        raise ValueError(
            f"not all of {array.min():g} to {array.max():g} are in {low:g} to {high:g}"
        )
    ranked = np.sort((array - low) / (high - low))
    above = _gaffke(ranked, (1 + level) / 2)
    below = 1 - _gaffke(1 - ranked[::-1], (1 + level) / 2)
    ends = (low + (high - low) * below, low + (high - low) * above)
    return Interval(float(array.mean()), *ends, level, len(array), f"Gaffke, {low:g} to {high:g}")


def _gaffke(ranked: np.ndarray, probability: float) -> float:
    """Return the quantile of the mean of sorted values and 1 with uniform random weights."""
    # PLC0415: scipy takes a second to import.
    from scipy.interpolate import BSpline  # noqa: PLC0415
    from scipy.optimize import brentq  # noqa: PLC0415

    knots = np.append(ranked, 1.0)
    if knots[0] == knots[-1]:
        return 1.0
    spline = BSpline.basis_element(knots, extrapolate=False).antiderivative()
    start, end = knots[0], knots[-1]
    whole = float(spline(np.nextafter(end, start))) - float(spline(start))

    def missing(t: float) -> float:
        return (float(spline(t)) - float(spline(start))) / whole - probability

    return float(brentq(missing, start, np.nextafter(end, start), xtol=1e-13))


def checked(values: Sequence[float], level: float) -> np.ndarray:
    """Return values as an array.

    Raises:
        ValueError: There are none, or one is not finite, or the level is not between 0 and 1.
    """
    array = np.asarray(values, dtype=float)
    if not array.size:
        raise ValueError("no interval of no values")
    if not np.isfinite(array).all():
        raise ValueError(f"no interval of values that are not finite: {list(values)}")
    if not 0 < level < 1:
        raise ValueError(f"no interval at level {level}: give one between 0 and 1")
    return array
