"""Two samples that share nothing, and how surely one is above the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cellbench.stats.intervals import Interval, checked
from cellbench.stats.student import t_quantile

MOST_SPLITS = 200_000
"""Up to it all ways to split the values are tried: up to ten against ten. Beyond it, as many
are drawn at random, always the same ones."""


@dataclass(frozen=True, slots=True)
class Test:
    """What a test of "no difference" found.

    Attributes:
        p: Of a difference as large as the one seen, if there is none in truth.
        smallest: The least p that the test could give at these sizes, whatever the values. Where
            it is above the level, the test cannot reject, and p says nothing.
        name: In words.
        n: Values of each sample; of a paired test, the pairs.
    """

    # Keeps pytest from taking it for a class of tests.
    __test__ = False

    p: float
    smallest: float
    name: str
    n: tuple[int, ...]


def superiority(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the share of pairs in which a is above b; equal ones count half."""
    above, below = np.asarray(a, dtype=float)[:, None], np.asarray(b, dtype=float)[None, :]
    return float(((above > below) + (above == below) / 2).mean())


def probability_of_superiority(
    a: Sequence[float], b: Sequence[float], *, level: float = 0.95
) -> Interval:
    """Return the probability that a value of A is above one of B; equal ones count half.

    The interval holds every theta that lies within t standard errors of what was seen, with the
    error that there would be if theta were true: so it says something where all of A are above
    B, and never leaves 0 to 1.

        error^2 = theta (1 - theta) (1 + N ((1 - theta) / (2 - theta) + theta / (1 + theta)))
                  / (n_a n_b),    N = (n_a + n_b) / 2 - 1

    Source: Newcombe 2006, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic. Part 2", method 5.
    Differs from it: t with n_a + n_b - 2 degrees of freedom for the normal quantile. With that
    one, three above three would rule out "as good", which no exact test can; see
    docs/statistics.md.

    Raises:
        ValueError: A sample is empty or not finite.
    """
    _pooled(a, b)
    sizes = [(len(a), len(b))]
    seen = superiority(a, b)
    low, high = score_limits(seen, sizes, level)
    return Interval(seen, low, high, level, sum(sizes[0]), "Newcombe 5 with t")


def score_limits(
    seen: float, sizes: Sequence[tuple[int, int]], level: float
) -> tuple[float, float]:
    """Return the limits of a probability of superiority, or of its mean over several tasks.

    Args:
        seen: Of all tasks, the mean.
        sizes: Values of A and of B, a task each.
        level: As of every interval.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 -- scipy takes a second to import

    freedom = sum(n_a + n_b - 2 for n_a, n_b in sizes)
    if not freedom:
        return 0.0, 1.0
    t = t_quantile((1 + level) / 2, freedom)

    def beyond(theta: float) -> float:
        variance = sum(_variance_at(theta, *pair) for pair in sizes) / len(sizes) ** 2
        return (theta - seen) ** 2 - t * t * variance

    # At 0 and at 1 the error is 0 as well: these are roots, but no ends unless seen.
    near = 1e-12
    low = brentq(beyond, near, min(seen, 1 - near)) if seen > near else 0.0
    high = brentq(beyond, max(seen, near), 1 - near) if seen < 1 - near else 1.0
    return float(low), float(high)


def _variance_at(theta: float, n_a: int, n_b: int) -> float:
    mean_size = (n_a + n_b) / 2 - 1
    spread = 1 + mean_size * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return theta * (1 - theta) * spread / (n_a * n_b)


def rank_sum(a: Sequence[float], b: Sequence[float]) -> Test:
    """Return the Wilcoxon-Mann-Whitney test, exact with ties too, up to ten against ten.

    Raises:
        ValueError: A sample is empty or not finite.
    """
    from scipy.stats import rankdata  # noqa: PLC0415 -- scipy takes a second to import

    ranks = rankdata(_pooled(a, b))
    p = split_p(ranks[: len(a)], ranks[len(a) :], sum_of_first)
    return Test(p, smallest_split_p(len(a), len(b)), "rank sum", (len(a), len(b)))


def brunner_munzel(a: Sequence[float], b: Sequence[float]) -> Test:
    """Return the test of P(A > B) = 1/2 that lets the spreads differ.

    Its p comes from all splits of the values, not from Student's t, which has no answer where
    all of A are above B.

    Source: Brunner & Munzel 2000; splits: Neubert & Brunner 2007.

    Raises:
        ValueError: A sample is empty or not finite.
    """
    values = _pooled(a, b)
    p = split_p(values[: len(a)], values[len(a) :], brunner_munzel_statistic)
    return Test(p, smallest_split_p(len(a), len(b)), "Brunner-Munzel", (len(a), len(b)))


def brunner_munzel_statistic(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return it, along the last axis; very large where it would be infinite.

    Scipy's takes one pair of samples at a time.

    Args:
        a: ... x values.
        b: ... x values.
        axis: As scipy asks for it; the last.
    """
    from scipy.stats import rankdata  # noqa: PLC0415 -- scipy takes a second to import

    n_a, n_b = a.shape[axis], b.shape[axis]
    ranks = rankdata(np.concatenate([a, b], axis=axis), axis=axis)
    # Values of the other sample below each one: its rank among all, less that among its own.
    below_a = ranks[..., :n_a] - rankdata(a, axis=axis)
    below_b = ranks[..., n_a:] - rankdata(b, axis=axis)
    share = below_a.mean(axis=axis) / n_b
    variance = (_variance(below_a) / n_b**2 / n_a) + (_variance(below_b) / n_a**2 / n_b)
    return np.asarray((share - 0.5) / np.sqrt(np.maximum(variance, 1e-12)))


def split_p(
    a: np.ndarray, b: np.ndarray, statistic: Callable[..., np.ndarray], most: int = MOST_SPLITS
) -> float:
    """Return the two-sided p of a statistic over all splits of the values into two samples."""
    from scipy.stats import permutation_test  # noqa: PLC0415 -- scipy takes a second to import

    if 1 in (len(a), len(b)):
        return _p_of_one(a, b, statistic)
    found = permutation_test(
        (a, b),
        statistic,
        permutation_type="independent",
        vectorized=True,
        n_resamples=most,
        batch=20_000,
        random_state=np.random.default_rng(0),
    )
    return float(found.pvalue)


def _p_of_one(a: np.ndarray, b: np.ndarray, statistic: Callable[..., np.ndarray]) -> float:
    """Do the same where one sample has one value, which scipy refuses."""
    values = np.concatenate([a, b])
    splits = itertools.combinations(range(len(values)), len(a))
    found = np.array([statistic(values[list(s)], np.delete(values, s)) for s in splits])
    near = 1e-9 * max(1.0, abs(found[0]))  # the first split is the one seen
    tails = ((found >= found[0] - near).mean(), (found <= found[0] + near).mean())
    return min(1.0, 2 * float(min(tails)))


def smallest_split_p(n_a: int, n_b: int) -> float:
    """Return the least two-sided p over all splits: one split of all, on either side."""
    return min(1.0, 2 / math.comb(n_a + n_b, n_a))


def sum_of_first(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:  # noqa: ARG001
    """Return the statistic of scores: their sum over A; scipy hands it both samples."""
    return np.asarray(a.sum(axis=axis))


def _variance(values: np.ndarray) -> np.ndarray:
    n = values.shape[-1]
    return np.asarray(values.var(axis=-1, ddof=1)) if n > 1 else np.zeros(values.shape[:-1])


def _pooled(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    for sample in (a, b):
        checked(sample, 0.95)
    return np.concatenate([np.asarray(a, dtype=float), np.asarray(b, dtype=float)])
