"""E-divisive: the place where the distribution of a series changes most, and whether by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

ORDERS = 9999
"""Random orders of the same values that a series is compared with."""

ALLOWED = 4
"""How many of them may reach the series' own divergence: (4 + 1) / (9999 + 1) is 0.05 %."""

FIRST_BATCH = 20
"""Orders at first: of a series without a change, a few are enough to tell."""

BATCH_NUMBERS = 100_000
"""Values that are held at a time: few enough for a cache."""


def divergences(series: Series, least: int) -> Series:
    """Return how far the parts before and after each split lie apart, in distribution.

        E(A, B) = 2 mean |a - b| - mean |a - a'| - mean |b - b'|    over pairs of different members
        Q       = m n / (m + n) E(A, B)                             of m values and n values

    Source: Matteson & James 2014, "A Nonparametric Approach for Multiple Change Point Analysis of
    Multivariate Data", JASA 109(505), equations 5 and 6, with the exponent 1.
    Differs from it: the second part always reaches to the end of the series; what follows a
    further change in it is found when the parts are split again.

    Args:
        series: [number, length], each row a series.
        least: Values that a part has at least, 2 or more.

    Returns:
        [number, length - 2 least + 1]: Q of the splits before `least`, `least + 1`, ...
    """
    length = series.shape[1]
    m = np.arange(least, length - least + 1)
    n = length - m
    inside = np.cumsum(_to_earlier(series), axis=1)  # each pair of the first t, once
    first = inside[:, m - 1]
    between = np.cumsum(_to_all(series), axis=1)[:, m - 1] - 2 * first
    second = inside[:, -1:] - first - between
    apart = 2 * between / (m * n) - 2 * first / (m * (m - 1)) - 2 * second / (n * (n - 1))
    found: Series = m * n / length * apart
    return found


def _to_earlier(series: Series) -> Series:
    """Return the distance of each value to those before it, summed."""
    found = np.zeros_like(series)
    for place in range(1, series.shape[1]):
        distance = series[:, :place] - series[:, place : place + 1]
        found[:, place] = np.abs(distance, out=distance).sum(axis=1)
    return found


def _to_all(series: Series) -> Series:
    """Return the distance of each value to all others, summed."""
    length = series.shape[1]
    order = np.argsort(series, axis=1)
    ranked = np.take_along_axis(series, order, axis=1)
    below = np.cumsum(ranked, axis=1)
    sums = ranked * (2 * np.arange(1, length + 1) - length) + below[:, -1:] - 2 * below
    found = np.empty_like(series)
    np.put_along_axis(found, order, sums, axis=1)
    return found


def divergent_split(values: Series, least: int, random: np.random.Generator) -> int | None:
    """Return before which value the distribution changes most; None if that may be chance.

    The largest Q is compared with that of the same values in random orders, among which every
    order is as likely as another if nothing changes and no value depends on the one before. Then a
    split is found with probability 0.0005, however the values are distributed.

    Args:
        values: In the order they came.
        least: Values before and after the split, at least.
        random: Gives the orders; as soon as too many reach the series' own Q, no more are drawn.
    """
    if len(values) < 2 * least or np.ptp(values) == 0:
        return None
    own = divergences(values[None], least)[0]
    reached = own.max() * (1 - 1e-9)  # the same order again must count as reaching it
    drawn, reaching, batch = 0, 0, FIRST_BATCH
    while drawn < ORDERS:
        orders = random.permuted(np.tile(values, (batch, 1)), axis=1)
        reaching += int((divergences(orders, least).max(axis=1) >= reached).sum())
        if reaching > ALLOWED:
            return None
        drawn += batch
        batch = min(batch * 4, max(FIRST_BATCH, BATCH_NUMBERS // len(values)), ORDERS - drawn)
    return least + int(own.argmax())
