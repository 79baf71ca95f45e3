"""A against B: by hand, against scipy, and what small samples cannot say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cellbench.stats.two_samples import (
    brunner_munzel,
    brunner_munzel_statistic,
    probability_of_superiority,
    rank_sum,
    score_limits,
    smallest_split_p,
    superiority,
)

LOW, HIGH = [1, 2, 3, 4, 5], [6, 7, 8, 9, 10]


def test_superiority_by_hand() -> None:
    """Of 2 and 3 against 1, 2 and 4: above in 1 and 2 pairs, equal in one."""
    assert superiority([2, 3], [1, 2, 4]) == pytest.approx((1 + 2 + 0.5) / 6)
    assert superiority([2, 3], [1, 2, 4]) == pytest.approx(
        stats.mannwhitneyu([2, 3], [1, 2, 4]).statistic / 6
    )


def test_where_all_are_above_the_limit_by_hand() -> None:
    """At 3 v 3 (N = 2): (1 - x)^2 = t^2 x (1 - x) (1 + 2 ((1 - x)/(2 - x) + x/(1 + x))) / 9."""
    found = probability_of_superiority([4, 5, 6], [1, 2, 3])
    x, t = found.low, 2.776445
    error = t * t * x * (1 - x) * (1 + 2 * ((1 - x) / (2 - x) + x / (1 + x))) / 9

    assert (found.estimate, found.high, found.n) == (1, 1, 6)
    assert (1 - x) ** 2 == pytest.approx(error, rel=1e-5)
    assert x < 0.5, "no exact test can rule out a half at 3 v 3 either"


@pytest.mark.parametrize("seen", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("sizes", [[(3, 3)], [(5, 8)], [(3, 3), (4, 2)]])
def test_limits_turn_with_the_sides(seen, sizes) -> None:
    low, high = score_limits(seen, sizes, 0.95)
    turned = score_limits(1 - seen, [(b, a) for a, b in sizes], 0.95)

    assert 0 <= low <= seen <= high <= 1
    assert turned == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_limits_are_the_published_method_but_for_t() -> None:
    """With many values t is normal: a Wald interval with Hanley and McNeil's error is near it."""
    n, theta = 4000, 0.7
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
    error = math.sqrt((theta * (1 - theta) + (n - 1) * (q1 - theta**2 + q2 - theta**2)) / n**2)

    assert score_limits(theta, [(n, n)], 0.95) == pytest.approx(
        (theta - 1.96 * error, theta + 1.96 * error), abs=2e-4
    )


def test_one_against_one_says_nothing() -> None:
    found = probability_of_superiority([2], [1])

    assert (found.estimate, found.low, found.high) == (1, 0, 1)


@pytest.mark.parametrize(
    ("n_a", "n_b", "p"),
    [(3, 3, 0.1), (5, 5, 2 / 252), (1, 1, 1), (2, 3, 0.2), (7, 7, 2 / 3432)],
)
def test_the_smallest_p_is_that_of_full_separation(n_a, n_b, p) -> None:
    a, b = list(range(n_a)), list(range(100, 100 + n_b))

    assert smallest_split_p(n_a, n_b) == pytest.approx(p)
    for test in (rank_sum, brunner_munzel):
        found = test(a, b)
        assert (found.p, found.smallest) == pytest.approx((p, p))
        assert found.n == (n_a, n_b)


def test_rank_sum_is_scipys_exact_one() -> None:
    draw = np.random.default_rng(0)
    for n_a, n_b in ((4, 4), (5, 7), (8, 3)):
        a, b = draw.normal(0, 1, n_a).tolist(), draw.normal(1, 2, n_b).tolist()
        exact = stats.mannwhitneyu(a, b, method="exact").pvalue
        assert rank_sum(a, b).p == pytest.approx(exact)


def test_rank_sum_with_ties_over_all_splits() -> None:
    """Solve or fail, 4 of 4 against 1 of 4: all splits, one by one."""
    values = np.array([1.0, 1, 1, 1, 1, 0, 0, 0])
    sums = np.array([values[list(s)].sum() for s in itertools.combinations(range(8), 4)])

    assert rank_sum(values[:4].tolist(), values[4:].tolist()).p == pytest.approx(
        2 * np.mean(sums >= 4)
    )


def test_equal_values_are_no_difference() -> None:
    for test in (rank_sum, brunner_munzel):
        assert test([1, 1, 1], [1, 1, 1, 1]).p == 1


def test_brunner_and_munzels_statistic_is_scipys() -> None:
    """Scipy's counts how far B is above A, ours how far A is above B."""
    draw = np.random.default_rng(1)
    a, b = draw.integers(0, 6, 7), draw.integers(1, 9, 9)

    assert -brunner_munzel_statistic(a, b) == pytest.approx(stats.brunnermunzel(a, b).statistic)


def test_brunner_munzel_over_all_splits() -> None:
    values = np.array([1.0, 4, 2, 7, 3, 9, 8])
    splits = list(itertools.combinations(range(7), 3))
    every = np.array(
        [brunner_munzel_statistic(values[list(s)], np.delete(values, s)) for s in splits]
    )
    seen = every[splits.index((0, 1, 2))]
    tails = [np.mean(every >= seen - 1e-9), np.mean(every <= seen + 1e-9)]

    assert brunner_munzel(values[:3].tolist(), values[3:].tolist()).p == pytest.approx(
        min(1, 2 * min(tails))
    )


def test_beyond_all_splits_they_are_drawn_always_the_same() -> None:
    """Eleven against eleven have 705,432."""
    a, b = list(range(11)), [x + 4.5 for x in range(11)]
    found = rank_sum(a, b)

    assert found == rank_sum(a, b)
    assert found.p == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue, rel=0.1)


@pytest.mark.parametrize("ask", [rank_sum, brunner_munzel, probability_of_superiority])
@pytest.mark.parametrize("values", [[], [math.nan]])
def test_no_sample_is_refused(ask, values) -> None:
    with pytest.raises(ValueError, match="no interval"):
        ask(values, [1])
    with pytest.raises(ValueError, match="no interval"):
        ask([1], values)
