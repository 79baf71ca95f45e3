"""Learning rates of a grid: which one, and how wide the good stretch is; by hand."""

from __future__ import annotations

import math
from itertools import permutations

import pytest

from cellbench.stats.window import mean_score, select_rate, window

GRID = (1e-4, 1e-3, 1e-2, 1e-1)


def of(*scores):
    """Give each rate of the grid one seed."""
    return {rate: [score] for rate, score in zip(GRID, scores, strict=False)}


def test_a_mean_is_of_scores_between_nothing_and_the_mark() -> None:
    assert mean_score([0.5, 0.7]) == pytest.approx(0.6)
    assert mean_score([1.0, math.nan]) == 0.5
    assert mean_score([-40.0, 1.0, None, 0.6], mark=0.9) == pytest.approx((0.9 + 0.6) / 4)


def test_the_rate_of_the_greatest_mean_is_taken() -> None:
    assert select_rate(of(0.1, 0.4, 0.3)) == 1e-3
    assert select_rate({1e-3: [0.9, 0.2], 1e-2: [0.6, 0.6]}) == 1e-2


def test_three_that_solve_beat_two_that_solve_with_more_to_spare() -> None:
    """A median would take the first: its middle seed stopped a little further above the mark."""
    scores = {1e-3: [0.999, 0.999, 0.0], 1e-2: [0.991, 0.992, 0.991]}

    assert select_rate(scores, mark=0.99) == 1e-2


def test_a_failure_is_worst() -> None:
    assert select_rate({1e-2: [None, 0.8], 1e-3: [0.5, 0.5]}) == 1e-3
    assert select_rate({1e-3: [None, None], 1e-2: [-5.0, -0.1]}) == 1e-2, "worse than bad ones too"
    assert select_rate({1e-3: [math.nan, 0.0], 1e-2: [-5.0, -0.1]}) == 1e-2, "as pandas has it"


def test_one_very_bad_seed_does_not_outweigh_all_others() -> None:
    assert select_rate({1e-3: [0.1] * 3, 1e-2: [1.0, 1.0, -100.0]}) == 1e-2


def test_what_lies_above_the_mark_is_luck_and_the_quicker_is_taken() -> None:
    scores = of(1.0, 0.995, 0.991, 0.2)
    steps = dict(zip(GRID, ([900], [300], [300], [100]), strict=True))

    assert select_rate(scores) == 1e-4
    assert select_rate(scores, mark=0.99, steps=steps) == 1e-3, "and of two as quick, the smaller"


@pytest.mark.parametrize("order", list(permutations([0.1, 0.2, 0.3, 0.7])))
def test_equal_scores_in_any_order_are_equal(order) -> None:
    assert select_rate({1e-2: list(order), 1e-3: [0.1, 0.2, 0.3, 0.7]}) == 1e-3


def test_nothing_tried_is_no_rate() -> None:
    with pytest.raises(ValueError, match="no rate"):
        select_rate({})
    with pytest.raises(ValueError, match="no seed"):
        select_rate({1e-3: []})


def test_a_window_between_two_bad_rates() -> None:
    found = window(of(0.1, 1.0, 0.95, 0.2), 1e-3)

    assert (found.low, found.high) == (1e-3, 1e-2)
    assert found.decades == pytest.approx(1)
    assert found.most_decades == pytest.approx(3), "out to the rates that are not good enough"
    assert not found.is_open


def test_a_single_good_rate_is_narrower_than_the_grid_can_tell() -> None:
    found = window(of(0.1, 1.0, 0.2), 1e-3)

    assert found.decades == 0
    assert found.most_decades == pytest.approx(2)


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [
        ((1.0, 0.95, 0.1, 0.0), True, False),
        ((0.0, 0.1, 0.95, 1.0), False, True),
        ((1.0, 1.0, 1.0, 1.0), True, True),
    ],
)
def test_a_window_that_touches_the_edge_is_a_lower_bound(scores, low, high) -> None:
    scores = of(*scores)
    found = window(scores, select_rate(scores))

    assert (found.open_low, found.open_high) == (low, high)
    assert found.most_decades == math.inf


def test_a_window_is_of_neighbours() -> None:
    found = window(of(1.0, 0.2, 1.0, 0.1), 1e-4)

    assert (found.low, found.high) == (1e-4, 1e-4), "a good rate beyond a bad one is not in it"


def test_good_enough_is_a_share_of_the_best_and_its_edge_is_in() -> None:
    scores = of(0.0, 0.5, 0.45, 0.4)

    assert window(scores, 1e-3).high == 1e-2
    assert window(scores, 1e-3, enough=0.8).high == 1e-1
    assert window(scores, 1e-3, enough=0.91).high == 1e-3


def test_a_diverged_seed_ends_the_window() -> None:
    scores = {1e-3: [1.0, 1.0], 1e-2: [1.0, 1.0], 1e-1: [1.0, None]}
    found = window(scores, 1e-3)

    assert (found.high, found.open_high) == (1e-2, False)


def test_where_nothing_was_learned_there_is_no_window() -> None:
    assert window(of(None, -0.5, 0.0), 1e-3) is None


def test_a_rate_that_was_not_tried_is_an_error() -> None:
    with pytest.raises(ValueError, match="not one of"):
        window(of(1.0), 0.5)
