"""Times to solve, some censored: by hand, against scipy, and what a budget hides."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cellbench.stats.intervals import bounded_interval
from cellbench.stats.survival import (
    log_rank,
    log_rank_scores,
    median_time,
    restricted_mean,
    survival_curve,
)

# Worked out below: one leaves off at 2, one at 5.
TIMES, SOLVED = [1, 2, 3, 4, 5], [True, False, True, True, False]


def test_the_curve_by_hand() -> None:
    """4/5 after 1; of three left at 3, two stay: 8/15; of two left at 4, one: 4/15."""
    curve = survival_curve(TIMES, SOLVED)

    assert curve.times == (1, 2, 3, 4, 5)
    assert curve.unsolved == pytest.approx([4 / 5, 4 / 5, 8 / 15, 4 / 15, 4 / 15])


def test_the_log_log_limits_by_hand() -> None:
    """S ** exp(+-z se), se^2 = sum d / (n (n - d)) / log(S)^2: at 1, 1/20 and log(4/5)."""
    curve = survival_curve(TIMES, SOLVED)
    arm = 1.959964 * math.sqrt(1 / 20) / abs(math.log(4 / 5))

    assert curve.low[0] == pytest.approx(0.8 ** math.exp(arm), rel=1e-5)
    assert curve.high[0] == pytest.approx(0.8 ** math.exp(-arm), rel=1e-5)


def test_where_all_or_none_solved_the_limits_are_0_and_1() -> None:
    none, every = survival_curve([9, 9], [False, False]), survival_curve([1, 2], [True, True])

    assert (none.unsolved, none.low, none.high) == ((1,), (0,), (1,))
    assert (every.unsolved[-1], every.low[-1], every.high[-1]) == (0, 0, 1)


def test_a_median_by_hand() -> None:
    assert median_time(TIMES, SOLVED).estimate == 4
    assert median_time([1, 2, 9], [True, True, False]).estimate == 2
    assert median_time([1, 9, 9], [True, False, False]).estimate == math.inf


def test_its_limits_are_ranked_times() -> None:
    """Of ten, the second and the ninth: one of ten or fewer heads has 1.1 %, two have 5.5 %."""
    times = [3, 1, 4, 15, 9, 2, 6, 5, 35, 8]
    every = median_time(times, [True] * 10)
    budget = median_time([min(t, 9) for t in times], [t < 9 for t in times])

    assert (every.low, every.high) == (2, 15)
    assert (budget.low, budget.high) == (2, math.inf)


@pytest.mark.parametrize(("n", "low", "high"), [(1, 0, math.inf), (5, 0, math.inf), (6, 1, 6)])
def test_below_six_runs_a_median_has_no_limits(n, low, high) -> None:
    found = median_time(list(range(1, n + 1)), [True] * n)

    assert (found.low, found.high, found.n) == (low, high, n)


def test_whoever_left_off_counts_for_the_worse_on_either_side() -> None:
    """The first of six left off at 1: it could have solved then, or never."""
    found = median_time([1, 2, 3, 4, 5, 6], [False, True, True, True, True, True])

    assert (found.low, found.high) == (1, math.inf)


def test_a_restricted_mean_by_hand() -> None:
    """1 + 4/5 * 2 + 8/15 + 4/15 * 2 up to 6; 1 + 4/5 * 1.5 up to 2.5."""
    assert restricted_mean(TIMES, SOLVED, horizon=6).estimate == pytest.approx(1 + 1.6 + 16 / 15)
    assert restricted_mean(TIMES, SOLVED, horizon=2.5).estimate == pytest.approx(2.2)


def test_watched_to_the_horizon_it_is_the_mean_of_what_was_seen() -> None:
    found = restricted_mean([1, 4, 10, 10], [True, True, False, False], horizon=10)
    plain = bounded_interval([1, 4, 10, 10], low=0, high=10)

    assert found.estimate == pytest.approx(25 / 4)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


def test_a_run_that_left_off_widens_it_on_both_sides() -> None:
    found = restricted_mean([1, 4, 5], [True, True, False], horizon=10)

    assert found.low == pytest.approx(bounded_interval([1, 4, 5], high=10).low)
    assert found.high == pytest.approx(bounded_interval([1, 4, 10], high=10).high)
    assert found.low < found.estimate < found.high


def test_what_solved_beyond_the_horizon_counts_as_the_horizon() -> None:
    late = restricted_mean([1, 400], [True, True], horizon=10)
    unsolved = restricted_mean([1, 10], [True, False], horizon=10)

    assert late.estimate == pytest.approx(5.5)
    assert late == unsolved


def test_log_rank_scores_by_hand() -> None:
    """Hazards 1/5; 1/3 more at 3; 1/2 more at 4. A score is the event less the hazard till then."""
    scores = log_rank_scores(TIMES, SOLVED)
    hazards = [1 / 5, 1 / 5, 8 / 15, 31 / 30, 31 / 30]

    assert scores == pytest.approx([s - h for s, h in zip(SOLVED, hazards, strict=True)])
    assert scores.sum() == pytest.approx(0)


def test_log_rank_is_scipys_when_there_are_many() -> None:
    draw = np.random.default_rng(3)
    a, b = draw.exponential(1, 60), draw.exponential(1.6, 50)
    solved_a, solved_b = a < 2, b < 2
    a, b = np.minimum(a, 2), np.minimum(b, 2)
    censored = [stats.CensoredData.right_censored(x, ~s) for x, s in ((a, solved_a), (b, solved_b))]
    ours = log_rank((a.tolist(), solved_a.tolist()), (b.tolist(), solved_b.tolist()))

    assert ours.p == pytest.approx(stats.logrank(*censored).pvalue, rel=0.15)


def test_three_against_three_cannot_reject_and_says_so() -> None:
    """Scipy's p, made for many runs, would be 0.02."""
    a, b = ([1, 2, 3], [True] * 3), ([9, 9, 9], [False] * 3)
    found = log_rank(a, b)

    assert (found.p, found.smallest, found.n) == (pytest.approx(0.1), pytest.approx(0.1), (3, 3))


def test_log_rank_over_all_splits() -> None:
    """The same by going through them one by one."""
    a, b = ([1, 3, 7, 9], [True, True, True, False]), ([2, 8, 9], [True, True, False])
    scores = log_rank_scores([*a[0], *b[0]], [*a[1], *b[1]])
    sums = [scores[list(s)].sum() for s in itertools.combinations(range(7), 4)]
    seen = scores[:4].sum()
    tails = [np.mean(np.array(sums) >= seen - 1e-9), np.mean(np.array(sums) <= seen + 1e-9)]

    assert log_rank(a, b).p == pytest.approx(min(1, 2 * min(tails)))


def test_nobody_solved_on_either_side_is_no_difference() -> None:
    assert log_rank(([9, 9], [False] * 2), ([9, 9, 9], [False] * 3)).p == 1


def test_one_run_against_some() -> None:
    """The last of five, of which each could be the last: 1/5 on one side, 2/5 on two."""
    found = log_rank(([9], [True]), ([1, 2, 3, 4], [True] * 4))

    assert (found.p, found.smallest) == (pytest.approx(0.4), pytest.approx(0.4))


@pytest.mark.parametrize(
    ("times", "solved", "message"),
    [([], [], "no values"), ([1, 2], [True], "2 times, and 1"), ([-1], [True], "negative")],
)
def test_what_makes_no_curve_is_refused(times, solved, message) -> None:
    for ask in (survival_curve, median_time, lambda t, s: restricted_mean(t, s, horizon=3)):
        with pytest.raises(ValueError, match=message):
            ask(times, solved)
    with pytest.raises(ValueError, match=message):
        log_rank(([1], [True]), (times, solved))


def test_no_horizon_is_refused() -> None:
    with pytest.raises(ValueError, match="no mean up to 0"):
        restricted_mean([1], [True], horizon=0)
