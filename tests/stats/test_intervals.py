"""Intervals of a mean: by hand, against scipy, and at their edges."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from cellbench.stats.intervals import (
    Interval,
    bootstrap_t_interval,
    bounded_interval,
    studentised,
    t_interval,
)

EVERY = [t_interval, bootstrap_t_interval, bounded_interval]
SKILLS = [0.1, 0.3, 0.35, 0.7, 0.99]


def test_t_by_hand() -> None:
    """1, 2, 3: mean 2, standard error 1/sqrt(3), and 4.3027 of those at two degrees of freedom."""
    found = t_interval([1, 2, 3])

    assert (found.low, found.high) == pytest.approx(
        (2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), rel=1e-4
    )
    assert (found.estimate, found.level, found.n, found.method) == (2, 0.95, 3, "t")


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_t_is_scipys(level) -> None:
    ends = stats.ttest_1samp(SKILLS, 0).confidence_interval(level)
    found = t_interval(SKILLS, level=level)

    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))


@pytest.mark.parametrize("interval", [t_interval, bootstrap_t_interval])
def test_one_value_bounds_nothing(interval) -> None:
    found = interval([0.4])

    assert (found.estimate, found.low, found.high) == (0.4, -math.inf, math.inf)


@pytest.mark.parametrize("interval", EVERY)
@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        ([], 0.95, "no values"),
        ([0.5, math.nan], 0.95, "not finite"),
        ([0.5, math.inf], 0.95, "not finite"),
        ([0.5], 1.0, "level"),
        ([0.5], 0.0, "level"),
    ],
)
def test_what_has_no_interval_is_refused(interval, values, level, message) -> None:
    with pytest.raises(ValueError, match=message):
        interval(values, level=level)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 3), (2, 3), (5, 5), (7, 10), (120, 300)])
def test_of_zeros_and_ones_the_bounded_one_is_clopper_and_pearsons(k, n) -> None:
    ends = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    found = bounded_interval([1] * k + [0] * (n - k))

    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=1e-10)


def test_the_bounded_one_by_hand() -> None:
    """Of one value, D x + (1 - D) with D uniform: 97.5 % lie below x + 0.975 (1 - x).

    Of two, 0 and 1/2, the sum D_2 / 2 + D_3 has the triangle over 0, 1/2, 1 as its density: the
    upper tail of 2.5 % begins at 1 - sqrt(0.025 / 2).
    """
    one, two = bounded_interval([0.4]), bounded_interval([0, 0.5])

    assert (one.low, one.high) == pytest.approx((0.025 * 0.4, 0.4 + 0.975 * 0.6))
    assert two.high == pytest.approx(1 - math.sqrt(0.025 / 2))


def test_the_bounded_one_is_what_drawing_it_gives() -> None:
    """From uniforms, in the words of the paper, and not from the spline."""
    draw = np.sort(np.random.default_rng(0).random((400_000, len(SKILLS))), axis=1)
    above = 1 - draw @ np.diff([*SKILLS, 1])
    below = draw @ np.diff([0, *SKILLS])[::-1]
    found = bounded_interval(SKILLS)

    assert found.high == pytest.approx(np.quantile(above, 0.975), abs=2e-3)
    assert found.low == pytest.approx(np.quantile(below, 0.025), abs=2e-3)


def test_the_bounded_one_turns_and_stretches_with_its_values() -> None:
    plain = bounded_interval(SKILLS)
    turned = bounded_interval([1 - x for x in SKILLS])
    stretched = bounded_interval([10 + 90 * x for x in SKILLS], low=10, high=100)

    assert (turned.low, turned.high) == pytest.approx((1 - plain.high, 1 - plain.low))
    assert (stretched.low, stretched.high) == pytest.approx(
        (10 + 90 * plain.low, 10 + 90 * plain.high)
    )


def test_values_that_nearly_agree_are_no_trouble() -> None:
    """A spline with knots that nearly coincide must not divide by their distance."""
    near = bounded_interval([0.3, 0.3 + 1e-15, 0.3 + 1e-12, 0.9, 1 - 1e-16])
    equal = bounded_interval([0.3, 0.3, 0.3, 0.9, 1])

    assert (near.low, near.high) == pytest.approx((equal.low, equal.high), abs=1e-9)


def test_at_its_bounds_the_bounded_one_still_doubts_the_other_side() -> None:
    """Three of three: 0.025 ** (1/3)."""
    found = bounded_interval([1, 1, 1])

    assert (found.low, found.high) == (pytest.approx(0.025 ** (1 / 3)), 1)


@pytest.mark.parametrize(("values", "low", "high"), [([1.01], 0, 1), ([-0.01], 0, 1), ([1], 1, 1)])
def test_values_out_of_bounds_are_refused(values, low, high) -> None:
    with pytest.raises(ValueError, match="are in"):
        bounded_interval(values, low=low, high=high)


def test_a_wider_level_is_a_wider_interval() -> None:
    for interval in EVERY:
        narrow, wide = interval(SKILLS, level=0.8), interval(SKILLS, level=0.99)
        assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


def test_studentised_by_hand() -> None:
    """0, 0, 3 around 2: the mean is 1 off, the standard error is 1. Equal ones are infinite."""
    ratios = studentised(np.array([[0.0, 0, 3], [3, 3, 3], [0, 0, 0], [2, 2, 2]]), 2.0)

    assert ratios.tolist() == [-1, math.inf, -math.inf, 0]


def test_bootstrap_t_of_all_resamples() -> None:
    """Of four values all 256 resamples are known; the seeded ones come near their quantiles."""
    values = np.array([1.0, 2, 4, 8])
    every = values[np.indices((4,) * 4).reshape(4, -1).T]
    low, high = np.quantile(studentised(every, values.mean()), [0.1, 0.9], method="inverted_cdf")
    error = statistics.stdev(values.tolist()) / 2
    found = bootstrap_t_interval(values.tolist(), level=0.8)

    assert found.low == pytest.approx(values.mean() - high * error, rel=0.1)
    assert found.high == pytest.approx(values.mean() - low * error, rel=0.1)
    assert found.high - found.estimate > found.estimate - found.low, "the long tail is above"


def test_bootstrap_t_has_no_end_at_three_values_and_says_so() -> None:
    found = bootstrap_t_interval([1, 2, 3])

    assert (found.low, found.high) == (-math.inf, math.inf)
    assert bootstrap_t_interval([2, 2, 2]) == Interval(2, 2, 2, 0.95, 3, "bootstrap-t")


def test_bootstrap_t_is_the_same_each_time_and_another_with_another_seed() -> None:
    assert bootstrap_t_interval(SKILLS) == bootstrap_t_interval(SKILLS)
    assert bootstrap_t_interval(SKILLS) != bootstrap_t_interval(SKILLS, seed=1)
