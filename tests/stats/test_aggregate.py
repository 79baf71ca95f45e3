"""Many tasks at once: by hand, against scipy, and what resampling must respect."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from cellbench.stats.aggregate import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from cellbench.stats.rates import rate_interval
from cellbench.stats.two_samples import probability_of_superiority

TASKS = [[0.1, 0.2, 0.4, 0.9], [0.5, 0.6, 0.65, 0.7]]


def test_the_middle_half_by_hand() -> None:
    """Of eight runs the middle four: 0.4, 0.5, 0.6, 0.65."""
    found = interquartile_mean(TASKS)

    assert found.estimate == pytest.approx(2.15 / 4)
    assert found.estimate == pytest.approx(stats.trim_mean(TASKS, 0.25, axis=None))
    assert found.low < found.estimate < found.high
    assert found.n == 8


def test_seeds_are_resampled_within_their_task_only() -> None:
    """Tasks that differ, with seeds that do not, leave nothing to doubt."""
    found = interquartile_mean([[0.1] * 3, [0.5] * 3, [0.9] * 3])

    assert (found.low, found.high) == pytest.approx((found.estimate, found.estimate))


def test_the_arms_by_hand() -> None:
    """0 or 1 with one seed each way, resampled: means 0, 1/2, 1 with 1/4, 1/2, 1/4.

    So the percentiles are 0 and 1; the arms of 1/2 grow by sqrt(2 / 1) and by 12.706 / 1.96.
    """
    found = interquartile_mean([[0, 1]])
    arm = 0.5 * math.sqrt(2) * 12.7062 / 1.95996

    assert (found.low, found.high) == pytest.approx((0.5 - arm, 0.5 + arm), rel=1e-4)


def test_one_seed_a_task_has_no_limits() -> None:
    found = interquartile_mean([[0.1], [0.5]])

    assert (found.estimate, found.low, found.high) == (0.3, -math.inf, math.inf)


def test_it_is_the_same_each_time_and_another_with_another_seed() -> None:
    assert interquartile_mean(TASKS) == interquartile_mean(TASKS)
    assert interquartile_mean(TASKS) != interquartile_mean(TASKS, seed=1)


def test_a_profile_counts_runs_above() -> None:
    found = performance_profile(TASKS, [0, 0.5, 0.9])

    assert [one.estimate for one in found] == [1, 4 / 8, 0]
    assert found[1] == rate_interval(4, 8)


def test_improvement_of_one_task_is_superiority() -> None:
    a, b = TASKS
    one, same = probability_of_improvement([a], [b]), probability_of_superiority(a, b)

    assert (one.estimate, one.low, one.high) == pytest.approx((same.estimate, same.low, same.high))


def test_improvement_is_the_mean_over_tasks_and_surer_with_more() -> None:
    a, b = [3, 4, 5], [1, 2, 6]
    one = probability_of_improvement([a], [b])
    two = probability_of_improvement([a, b], [b, a])
    many = probability_of_improvement([a] * 8, [b] * 8)

    assert one.estimate == many.estimate == pytest.approx(6 / 9)
    assert two.estimate == pytest.approx(0.5)
    assert many.high - many.low < (one.high - one.low) / 2
    assert (many.n, many.low < many.estimate < many.high) == (48, True)


def test_tasks_may_have_other_numbers_of_seeds() -> None:
    ragged = [[0.1, 0.2], [0.5, 0.6, 0.7]]

    assert interquartile_mean(ragged).n == 5
    assert probability_of_improvement(ragged, [[0.1], [0.9]]).estimate == pytest.approx(0.375)


@pytest.mark.parametrize("scores", [[], [[]], [[0.1], []], [[math.nan]]])
def test_no_runs_are_refused(scores) -> None:
    for ask in (
        interquartile_mean,
        lambda x: performance_profile(x, [0.5]),
        lambda x: probability_of_improvement(x, x),
    ):
        with pytest.raises(ValueError, match=r"no tasks|no interval"):
            ask(scores)


def test_tasks_of_one_side_only_are_refused() -> None:
    with pytest.raises(ValueError, match="1 tasks of one, 2 of the other"):
        probability_of_improvement([[1]], [[1], [2]])
