"""What is told of tasks: the list, and the sheet of one."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cellbench.catalog import load_tasks
from cellbench.cli import main
from cellbench.plugins import cell_names
from cellbench.report.tasks import ASKED, SHOWN, WAITED, picture
from cellbench.train.baselines import BASELINES

TASKS = load_tasks()
EASIEST = {task.family: task for task in reversed(TASKS.values())}


def told(*arguments: str, width: int = 80) -> str:
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": str(width)})

    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_has_every_level_under_its_task() -> None:
    lines = told("list", "tasks").splitlines()
    found = {line.split()[0] for line in lines if line[:1] == " " and "/" in line}

    assert set(TASKS) <= found
    assert max(map(len, lines)) <= 80
    assert f"{len(EASIEST)} tasks, {len(TASKS)} levels" in lines[-1] + lines[-2]


def test_the_list_says_where_a_level_is_from_its_zero_and_its_mark() -> None:
    rows = {row["id"]: row for row in json.loads(told("list", "tasks", "--format", "json"))}

    assert set(rows) == set(TASKS)
    assert all(row["source"] and row["without memory"] and row["solved"] for row in rows.values())
    assert rows["adding/length-50"]["without memory"] == "0.1667"
    assert rows["adding/length-50"]["solved"] == "mse < 0.01"


@pytest.mark.parametrize("task", EASIEST.values(), ids=list(EASIEST))
def test_a_sheet_says_all_there_is_to_know(task) -> None:
    text = told("show", task.id)
    headings = [line for line in text.splitlines() if line and line[0].isupper()]

    assert headings[:7] == [
        "Source", "Differs from it", "Settings", "Scored", "Tested at lengths", "Budget",
        "Version",
    ]  # fmt: skip
    assert all(f"{name}={value}: " in text for name, value in task.settings.items())
    assert "input" in text.split("Sequence 0")[1]
    assert "target" in text.split("Sequence 0")[1]


def test_a_task_stands_for_its_first_level() -> None:
    assert told("show", "copying") == told("show", "copying/tiny")


def test_another_sequence_can_be_drawn() -> None:
    drawn = [
        told("show", "copying", "--sequence", str(n)).rpartition("Sequence")[2] for n in (0, 1)
    ]

    assert [line.rstrip() for line in drawn[0].splitlines()[1:3]] == [
        "input   4 1 . . > .",
        "target  - - - - 4 1",
    ]
    assert drawn[0] != drawn[1]


def test_what_is_shown_waited_for_and_asked_has_its_colour() -> None:
    line, *_ = picture(TASKS["copying/tiny"], 0, 80)
    styles = [str(span.style) for span in line.spans]

    assert styles == [SHOWN, SHOWN, WAITED, WAITED, ASKED, ASKED]


def test_nothing_is_wider_than_the_terminal_and_the_middle_of_what_is_long_is_left_out() -> None:
    rows = [row.plain for row in picture(TASKS["adding/length-2000"], 0, 60)]
    left_out = [row for row in rows if row.startswith("…")]

    assert max(map(len, rows)) <= 60
    assert len(left_out) == 1
    assert len(rows) < 70


def test_a_name_that_is_neither_is_one_line() -> None:
    count = len({*cell_names(), *BASELINES, *EASIEST})
    lists = f"`cellbench list cells` and `cellbench list tasks` show all {count}."
    result = CliRunner().invoke(main, ["show", "coping"])

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"Error: There is no cell or task named 'coping'; did you mean 'copying'? {lists}"
    ]


def test_a_baseline_has_a_sheet_too() -> None:
    assert "h_t = tanh" in told("show", "random_search")
