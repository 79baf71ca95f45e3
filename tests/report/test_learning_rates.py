"""Rows of cells that were trained at several learning rates."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from records import ENVIRONMENT, SETTINGS, measurement, trial
from rich.console import Console

from cellbench.record import Failure, Point, Status
from cellbench.report.data import to_csv
from cellbench.report.rates import width
from cellbench.report.rows import make_rows, tables
from cellbench.report.terminal import print_rows

UNSOLVED = {"steps_to_solve": None, "sequences_to_solve": None, "steps": 2000}
GRID = (1e-3, 1e-2, 1e-1)


def at(rate, validation, *, cell: str = "lstm", seed: int = 0, test=None, **changes):
    """Return a trial at `rate` with this skill on validation, and another on the test."""
    settings = replace(changes.pop("settings", SETTINGS), learning_rate=rate)
    metric = None if validation is None else 0.125 + 0.875 * validation
    curve = (Point(step=100, train_loss=1.0, metric=metric, elapsed_s=1.0),)
    skill = validation if test is None else test
    return trial(cell, seed, settings=settings, curve=curve, skill=skill, **UNSOLVED | changes)


def diverged(rate, **changes):
    ended = {"status": Status.DIVERGED, "error": Failure(type="diverged", message="nan")}
    return at(rate, None, **ended, **changes)


def grid(cell: str, *validation, rates=GRID):
    return [at(r, v, cell=cell) for r, v in zip(rates, validation, strict=True)]


def test_a_row_is_of_the_rate_that_is_best_on_validation_and_reports_its_test() -> None:
    """The rate that is best on the test is not taken."""
    lines = [at(1e-3, 0.5, test=0.9), at(1e-2, 0.8, test=0.3), at(1e-1, 0.2, test=0.1)]
    (row,) = make_rows([*lines, measurement()])

    assert (row.learning_rate, row.rates_tried) == (1e-2, GRID)
    assert (row.skill, row.seeds) == (0.3, 1)
    assert row.train_sequences_per_s == pytest.approx(6400), "measured once, for all rates"
    (note,) = row.notes
    assert note.startswith("learning rate 0.01, the best on validation of 3 tried, 0.001 to 0.1")
    assert note.endswith("window 0.0 to 2.0 decades")


def test_the_test_moves_nothing() -> None:
    """Whatever the test says, the same rate is chosen: even where it alone was not finite."""
    lines = [at(1e-3, 0.5), at(1e-2, 0.8), at(1e-1, 0.2)]
    failed = {"status": Status.DIVERGED, "test_metric": None, "test_loss": None}
    for test in (-1.0, 0.0, 1.0):
        for place in range(3):
            changed = list(lines)
            changed[place] = replace(lines[place], skill=test, test_metric=test, exact_rate=test)
            assert make_rows(changed)[0].learning_rate == 1e-2
            changed[place] = replace(lines[place], skill=None, **failed)
            assert make_rows(changed)[0].learning_rate == 1e-2


def test_a_rate_at_which_a_seed_diverged_is_not_taken_and_told() -> None:
    lines = [
        *(at(1e-3, 0.6, seed=seed) for seed in range(3)),
        *(at(1e-2, 0.8, seed=seed) for seed in range(2)), diverged(1e-2, seed=2),
        *(diverged(1e-1, seed=seed) for seed in range(3)),
    ]  # fmt: skip
    (row,) = make_rows(lines)

    assert row.learning_rate == 1e-3
    assert row.failures == {}
    assert "4 of 6 trials at other learning rates diverged" in row.notes


def test_a_cell_that_failed_at_every_rate_is_a_failure_and_has_no_window() -> None:
    (row,) = make_rows([diverged(rate) for rate in GRID])

    assert row.failures == {"diverged": 1}
    assert (row.skill, row.window_decades) == (None, None)
    assert row.learning_rate == 1e-3, "the smallest of equals"
    assert "no window, nothing was learned at any" in row.notes[0]


def test_of_rates_that_all_solve_the_quickest_is_taken() -> None:
    lines = [
        at(rate, 0.99, seed=seed, steps_to_solve=steps + seed, steps=steps + seed)
        for rate, steps in zip(GRID, (900, 300, 500), strict=True)
        for seed in range(2)
    ]
    (row,) = make_rows(lines)

    assert row.learning_rate == 1e-2
    assert (row.window_decades, row.window_most_decades) == (pytest.approx(2), None)
    assert "window ≥ 2.0 decades" in row.notes[0]


def test_the_mark_bounds_what_counts() -> None:
    """0.99 of accuracy is solved; training stopped there, and what is above it was luck."""
    solved = {"steps_to_solve": 500, "steps": 500}
    lines = [
        at(1e-3, 1.0, seed=0, **solved), at(1e-3, 0.9, seed=1),
        at(1e-2, 0.989, seed=0, **solved), at(1e-2, 0.989, seed=1, **solved),
        at(1e-1, 1.0, seed=0, **solved), at(1e-1, 0.97, seed=1),
    ]  # fmt: skip
    assert make_rows(lines)[0].learning_rate == 1e-2


def test_a_rate_at_the_edge_says_that_a_better_one_may_lie_beyond() -> None:
    (row,) = make_rows(grid("lstm", 0.1, 0.3, 0.8))

    assert row.learning_rate == 1e-1
    assert "learning rate 0.1 is the highest tried; a wider --lr-grid may find a better one" in (
        row.notes
    )
    assert (row.window_decades, row.window_most_decades) == (0.0, None)


def test_rates_are_judged_by_the_seeds_that_all_have() -> None:
    """Seed 1 came out well where it was tried: the other rate had no chance to."""
    lines = [at(1e-3, 0.5), at(1e-2, 0.4), at(1e-2, 0.9, seed=1)]
    (row,) = make_rows(lines)

    assert row.learning_rate == 1e-3
    assert any("chosen by 1 of 2 seeds; run the same command again" in note for note in row.notes)


def test_cells_tuned_over_different_grids_never_stand_in_one_table() -> None:
    lines = [
        *grid("lstm", 0.1, 0.8, 0.3), *grid("gru", 0.1, 0.8, 0.3),
        *grid("rnn", 0.1, 0.8, rates=GRID[:2]), trial("ran"),
    ]  # fmt: skip
    rows = make_rows(lines)

    assert sorted([row.cell for row in table] for table in tables(rows)) == [
        ["gru", "lstm"], ["ran"], ["rnn"],
    ]  # fmt: skip


def test_a_baseline_is_not_tuned_and_stands_with_those_that_are() -> None:
    position = trial("position", **UNSOLVED | {"steps": 0, "skill": 0.0})
    tuned, own = grid("lstm", 0.1, 0.8, 0.3), trial("lstm")

    (table,) = tables(make_rows([ENVIRONMENT, *tuned, measurement(), position]))
    assert [row.cell for row in table] == ["lstm", "position"]
    both = list(tables(make_rows([*tuned, own, position])))
    assert [[row.rates_tried for row in table] for table in both] == [[(), ()], [GRID]]


def test_a_crash_at_the_levels_own_rate_is_no_baseline() -> None:
    crash = {"status": Status.CRASHED, "steps": 0, "skill": None, "steps_to_solve": None}
    rows = make_rows([*grid("lstm", 0.1, 0.8, 0.3), trial("gru", **crash)])

    assert len(list(tables(rows))) == 2


def test_the_levels_own_rate_is_a_row_of_its_own() -> None:
    own, tuned = make_rows([trial(), *grid("lstm", 0.1, 0.8, 0.3), measurement()])

    assert (own.learning_rate, own.rates_tried, own.skill) == (0.0, (), 0.994)
    assert (tuned.learning_rate, tuned.skill) == (1e-2, 0.8)
    assert own.id != tuned.id
    assert own.train_sequences_per_s == tuned.train_sequences_per_s


def test_without_a_grid_nothing_is_said_of_rates() -> None:
    (row,) = make_rows([trial(), measurement()])
    console = Console(file=io.StringIO(), width=120)
    print_rows([row], console)

    assert (row.learning_rate, row.rates_tried, row.window_decades) == (0.0, (), None)
    assert row.notes == ()
    assert "learning rate" not in console.file.getvalue()


def test_a_table_says_how_many_rates_were_tried() -> None:
    console = Console(file=io.StringIO(), width=120)
    rows = make_rows(grid("lstm", 0.1, 0.8, 0.3))
    print_rows(rows, console)

    assert "2000 steps of 64 sequences, learning rate chosen of 3 on validation;" in (
        console.file.getvalue()
    )
    assert "0.001; 0.01; 0.1" in to_csv(rows)


@pytest.mark.parametrize(
    ("decades", "most", "text"),
    [(1.5, None, "≥ 1.5"), (1.0, 2.0, "1.0 to 2.0"), (None, None, "–")],
)
def test_a_width_says_what_the_grid_can_tell(decades, most, text) -> None:
    assert width(decades, most) == text
