"""A step in the mean of a series whose noise remembers: each value depends on the one before."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

SIMULATED = 3999
"""Series without a step that a series is compared with."""

WARM_UP = 60
"""Values of a simulated series that are thrown away: until it has forgotten how it began."""

GRID = 0.05
"""Correlations are rounded up to a multiple of it, so that few must be simulated."""

MOST = 0.95
"""The highest correlation that is taken for possible."""

BIAS, SLOPE = 3.3, 9.0
"""The lag-1 correlation of what is left beside the best step is too low by (BIAS + SLOPE rho) / n:
found by simulation, at n = 20, 50 and 100 and rho = 0, 0.5 and 0.8."""


def step_sizes(series: Series, least: int) -> Series:
    """Return Student's t of the means before and after each split, without its sign.

    Args:
        series: [number, length], each row a series.
        least: Values that a part has at least.

    Returns:
        [number, length - 2 least + 1]: of the splits before `least`, `least + 1`, ...
    """
    length = series.shape[1]
    m = np.arange(least, length - least + 1)
    n = length - m
    sums = np.cumsum(series, axis=1)
    first, second = sums[:, m - 1], sums[:, -1:] - sums[:, m - 1]
    squares = (series**2).sum(axis=1, keepdims=True)
    within = np.maximum(squares - first**2 / m - second**2 / n, 1e-12 * squares)
    deviation = np.sqrt(np.maximum(within, 1e-300) / (length - 2))
    found: Series = np.abs(second / n - first / m) * np.sqrt(m * n / length) / deviation
    return found


def correlation(values: Series, split: int) -> float:
    """Return the lag-1 correlation of what is left beside a step before `split`, unbiased.

    The pair across the split is left out. Below 0 it is taken for 0: noise that alternates makes
    false steps rarer, and its correlation is not to be relied on.
    """
    left = np.concatenate([part - part.mean() for part in (values[:split], values[split:])])
    pairs = left[:-1] * left[1:]
    square = float((left**2).sum())
    if square == 0:
        return 0.0
    found = float(pairs.sum() - pairs[split - 1]) / square
    length = len(values)
    if length <= SLOPE + 1:
        return MOST
    return min(max((found + BIAS / length) / (1 - SLOPE / length), 0.0), MOST)


def step_p_value(values: Series, least: int) -> float:
    """Return the probability that noise alone has as large a step, somewhere.

    The largest t is compared with that of simulated series of as many values, each of which is
    rho times the one before and a normal number: a first-order autoregression. For rho stands what
    was found in the series, and its standard error more: too low a rho makes steps of drift.

    Args:
        values: In the order they came.
        least: Values before and after the step, at least.
    """
    centred = values - np.median(values)
    sizes = step_sizes(centred[None], least)[0]
    rho = correlation(centred, least + int(sizes.argmax()))
    error = math.sqrt((1 - rho**2) / len(values))
    safe = min(math.ceil((rho + error) / GRID - 1e-9) * GRID, MOST)
    chance = _largest_by_chance(len(values), least, round(safe, 2))
    reached = len(chance) - int(np.searchsorted(chance, sizes.max()))
    return (1 + reached) / (1 + len(chance))


@functools.lru_cache(maxsize=512)
def _largest_by_chance(length: int, least: int, rho: float) -> Series:
    """Return the largest t of each simulated series, in order; the same in every call."""
    random = np.random.default_rng(0)
    series = autoregression(random.standard_normal((SIMULATED, length + WARM_UP)), rho)
    return np.sort(step_sizes(series[:, WARM_UP:], least).max(axis=1))


def autoregression(innovations: Series, rho: float) -> Series:
    """Return x_t = rho x_{t-1} + e_t along the last axis, with x_0 = e_0."""
    series = innovations.copy()
    for place in range(1, series.shape[-1]):
        series[..., place] += rho * series[..., place - 1]
    return series
