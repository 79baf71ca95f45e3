"""How many seeds it takes to see a difference."""

from __future__ import annotations

import numpy as np

FEWEST = 5
"""Seeds below which nothing is called significant."""


def power(solves_a: float, solves_b: float, n: int, *, alpha: float = 0.05) -> float:
    """Return the odds that an exact test tells A from B, with n seeds each.

    The test is of solved or not, over all splits: `rank_sum` of zeros and ones.

    Source: Fisher 1935; two sides by doubling the smaller tail.

    Args:
        solves_a: Share of A's seeds that solve, in truth.
        solves_b: Of B's.
        n: Seeds of each, at least 1.
        alpha: Level of the test.

    Raises:
        ValueError: A share or the level is not within 0 to 1, or n is below 1.
    """
    from scipy.stats import binom  # noqa: PLC0415 -- scipy takes a second to import

    if not (0 <= solves_a <= 1 and 0 <= solves_b <= 1 and 0 < alpha < 1 and n >= 1):
        raise ValueError(f"no power for {solves_a}, {solves_b}, {n} seeds, alpha {alpha}")
    counts = np.arange(n + 1)
    odds = np.outer(binom.pmf(counts, n, solves_a), binom.pmf(counts, n, solves_b))
    return float(odds[split_p_values(n) <= alpha].sum())


def split_p_values(n: int) -> np.ndarray:
    """Return p of a solved of n against b of n, for all a (rows) and b (columns)."""
    from scipy.stats import hypergeom  # noqa: PLC0415 -- scipy takes a second to import

    a, b = np.indices((n + 1, n + 1))
    below = hypergeom.cdf(a, 2 * n, a + b, n)
    above = hypergeom.sf(a - 1, 2 * n, a + b, n)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(below, above)))


def seeds_needed(
    solves_a: float,
    solves_b: float,
    *,
    power_wanted: float = 0.8,
    alpha: float = 0.05,
    most: int = 100,
) -> int | None:
    """Return the least seeds of each from which on the odds of telling A from B are enough.

    More seeds can be a little less, since counts are whole; so the odds are enough at every
    number from this one to `most`. None if they are not even there.

    Args:
        solves_a: Share of A's seeds that solve, in truth.
        solves_b: Of B's.
        power_wanted: Odds that are enough.
        alpha: Level of the test.
        most: Seeds up to which it is tried.

    Raises:
        ValueError: As `power`.
    """
    needed = None
    for n in range(most, FEWEST - 1, -1):
        if power(solves_a, solves_b, n, alpha=alpha) < power_wanted:
            break
        needed = n
    return needed
