"""What a table says of how cells were carried and stacked."""

from __future__ import annotations

import io
import json

from records import ENVIRONMENT, measurement, trial
from rich.console import Console

from cellbench.report.data import to_csv, to_json
from cellbench.report.rows import make_rows
from cellbench.report.terminal import print_rows

WHY = "not stacked: it branches on a value"
COMPILER = "not compiled: it leaves the graph"


def notes(*lines) -> tuple[str, ...]:
    (row,) = make_rows([ENVIRONMENT, *lines])
    return row.notes


def test_a_reason_that_holds_for_all_is_told_once_and_so_is_that_of_the_measurement() -> None:
    lines = [trial(seed=n, fallback=COMPILER) for n in range(3)]

    assert notes(*lines, measurement(fallback=COMPILER)) == (COMPILER,)


def test_a_reason_that_holds_for_some_seeds_says_for_how_many() -> None:
    lines = [trial(seed=0), trial(seed=1, fallback=WHY), trial(seed=2, fallback=WHY)]

    assert notes(*lines) == (f"2 of 3 seeds {WHY}",)


def test_a_measurement_has_a_reason_of_its_own() -> None:
    assert notes(trial(), measurement(fallback=COMPILER)) == (COMPILER,)


def test_a_reason_that_is_a_warning_already_is_not_told_twice() -> None:
    wrong = "parallel and stepwise differ by 1.0e-02"
    lines = [trial(), measurement(fallback=wrong, warnings=(f"{wrong}; not timed",))]

    assert notes(*lines) == (f"{wrong}; not timed",)


def test_the_note_is_under_the_table() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_rows(make_rows([ENVIRONMENT, trial(fallback=WHY), measurement()]), console)

    assert f"! lstm: {WHY}" in console.file.getvalue()


def test_how_it_was_done_is_there_for_programs() -> None:
    lines = [trial(seed=0, stacked=8, unrolled="compiled"), trial(seed=1)]
    (row,) = json.loads(to_json(make_rows([ENVIRONMENT, *lines])))

    assert (row["unrolled"], row["stacked"]) == ("compiled", 8)
    measured = make_rows([ENVIRONMENT, *lines, measurement(unrolled="stepwise", compile_s=2.5)])
    assert (measured[0].unrolled, measured[0].compile_s) == ("stepwise", 2.5)
    assert "unrolled" in to_csv(measured).splitlines()[0]
    assert "stacked" in to_csv(measured).splitlines()[0]
