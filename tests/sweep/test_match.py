"""Widths that give all cells the same budget."""

from __future__ import annotations

import pytest

from cellbench.catalog import find_task
from cellbench.errors import OptionError
from cellbench.plugins import parse_cell
from cellbench.sweep.match import matched, nearest
from cellbench.train.network import Network

ADDING = find_task("adding/length-10")


def test_the_nearest_width_is_found_on_either_side() -> None:
    assert nearest(lambda width: width**2, 100) == (10, 100)
    assert nearest(lambda width: width**2, 109) == (10, 100)
    assert nearest(lambda width: width**2, 112) == (11, 121)
    assert nearest(lambda width: 7 * width, 7 * 1000 + 3) == (1000, 7000)


@pytest.mark.parametrize("budget", range(1, 3000, 37))
def test_it_is_the_nearest_of_all(budget) -> None:
    for step in (1, 3, 8, 64):

        def count(width, step=step):
            return width * (width + 5) if width % step == 0 else None

        best = min(
            (abs(count(width) - budget), width) for width in range(step, 4 * step + 120, step)
        )
        width, found = nearest(count, budget)

        assert (abs(found - budget), found) == (best[0], count(width))


def test_a_cell_that_starts_above_the_budget_gets_its_smallest_width() -> None:
    assert nearest(lambda width: 1000 + width, 10) == (1, 1001)


def test_a_cell_without_widths_is_told() -> None:
    with pytest.raises(OptionError, match="can have no width from 1 to"):
        nearest(lambda _: None, 10)


@pytest.mark.parametrize(
    ("match", "cell", "network", "width", "budget"),
    [
        # 4H(X + H) + 8H with X = 2, H = 64; 3 * 74 * 76 + 6 * 74 = 17316, 3 * 75 * 77 + 450 = 17775
        ("params", "gru", Network(), 74, 17408),
        # (h, c) of 64 float32 each
        ("state", "gru", Network(), 128, 512),
        ("state", "lstm", Network(), 64, 512),
        # 2 * 4 * 64 * (2 + 64); 2 * 3 * 75 * 77 = 34650 and 2 * 3 * 76 * 78 = 35568
        ("operations", "gru", Network(), 75, 33792),
        ("params", "lstm", Network(depth=2), 64, 17408 + 33280),
    ],
)
def test_a_width_matches_what_lstm_has(match, cell, network, width, budget) -> None:
    found = matched(match, network, parse_cell(cell), ADDING, 64)

    assert found[1] == budget
    assert found[0] == pytest.approx(width, abs=1)


def test_a_state_that_grows_has_no_size_to_match() -> None:
    with pytest.raises(OptionError, match="the state of lstmn grows with every step; match params"):
        matched("state", Network(), parse_cell("lstmn"), ADDING, 64)
    assert matched("state", Network(), parse_cell("lstmn(tape=4)"), ADDING, 64)[0] > 1


def test_operations_of_a_tape_are_those_of_the_levels_length() -> None:
    short = matched("operations", Network(), parse_cell("lstmn"), ADDING, 64)
    long = matched("operations", Network(), parse_cell("lstmn"), find_task("adding/length-50"), 64)

    assert short[1] == long[1]
    assert short[0] > long[0]
