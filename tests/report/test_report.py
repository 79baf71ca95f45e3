"""Tables: what is in a row, which rows stand together, and how it reads."""

from __future__ import annotations

import csv
import io
import json

import pytest
from msgspec.structs import replace
from records import ENVIRONMENT, LEVEL, SETTINGS, measurement, timings, trial
from rich.console import Console

from cellbench.errors import NothingMeasuredError
from cellbench.record import Failure, Memory, Parameters, Rung, Status
from cellbench.report import numbers
from cellbench.report.columns import COLUMNS, columns_of
from cellbench.report.data import to_csv, to_json
from cellbench.report.markdown import to_markdown
from cellbench.report.numbers import mebibytes, short
from cellbench.report.rows import make_rows, tables
from cellbench.report.terminal import print_rows

UNSOLVED = {"steps_to_solve": None, "sequences_to_solve": None, "steps": 2000}
CRASH = Failure(type="ValueError", message="no", where="mine.py:3")
CRASHED = {
    **UNSOLVED, "status": Status.CRASHED, "error": CRASH,
    "test_metric": None, "skill": None, "exact_rate": None,
}  # fmt: skip


def terminal(lines, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_rows(make_rows(lines), console)
    return console.file.getvalue()


def test_a_row_is_the_seeds_and_the_measurement_of_one_cell() -> None:
    lines = [
        ENVIRONMENT,
        trial(seed=0, skill=0.2, steps_to_solve=100),
        trial(seed=1, skill=0.9, steps_to_solve=300),
        trial(seed=2, skill=0.8, **UNSOLVED),
        measurement(),
    ]
    (row,) = make_rows(lines)

    assert row.id == "lstm @ copying/delay-10"
    assert (row.seeds, row.solved) == (3, 2)
    assert (row.skill, row.skill_low, row.skill_high) == (0.8, 0.2, 0.9)
    assert row.steps_to_solve == 300, "the seed that did not solve was slower than both"
    assert row.train_sequences_per_s == pytest.approx(6400)
    assert row.streaming_us == pytest.approx(20)
    assert row.peak_allocated_bytes == 11 << 20
    assert row.cell_parameters == 19_456
    assert "device=Some CPU" in row.machine


def test_a_failed_seed_is_counted_and_told_and_drops_no_other() -> None:
    lines = [trial(seed=0), trial(seed=1, **CRASHED), trial(seed=2, **CRASHED)]
    (row,) = make_rows(lines)

    assert (row.seeds, row.solved) == (3, 1)
    assert row.failures == {"crashed": 2}
    assert row.steps_to_solve is None
    assert row.notes == ("2 of 3 seeds crashed: ValueError: no (mine.py:3)",)


def test_a_trial_without_a_measurement_is_a_row_and_so_is_the_reverse() -> None:
    first, second = make_rows([trial("gru"), measurement("lstm")])

    assert (first.cell, first.train_sequences_per_s) == ("gru", None)
    assert (second.cell, second.seeds, second.skill) == ("lstm", 0, None)


def test_a_measurement_that_failed_is_told() -> None:
    failed = measurement(
        status=Status.OOM, error=CRASH, train_step=None, inference=None, streaming=None,
        memory=None, parameters=None,
    )  # fmt: skip
    (row,) = make_rows([trial(), failed])

    assert row.notes == ("not measured: oom: ValueError: no",)
    assert row.train_sequences_per_s is None


@pytest.mark.parametrize(
    "other",
    [
        {"level": replace(LEVEL, digest="other")},
        {"settings": replace(SETTINGS, hidden=128)},
        {"settings": replace(SETTINGS, steps=10)},
        {"settings": replace(SETTINGS, device="cuda")},
        {"settings": replace(SETTINGS, dtype="float64")},
    ],
)
def test_rows_that_cannot_be_compared_stand_in_different_tables(other) -> None:
    rows = make_rows([trial("lstm"), trial("gru", **other)])

    assert [[row.cell for row in table] for table in tables(rows)] in (
        [["lstm"], ["gru"]],
        [["gru"], ["lstm"]],
    )


def test_speeds_of_two_machines_stand_in_different_tables() -> None:
    faster = replace(ENVIRONMENT, digest="env2", key=ENVIRONMENT.key | {"device": "Better CPU"})
    lines = [ENVIRONMENT, faster, trial(), measurement(), measurement("gru", env="env2")]
    rows = make_rows(lines)

    assert len(list(tables(rows))) == 2


def test_a_cell_that_was_not_measured_stands_with_those_that_were() -> None:
    rows = make_rows([ENVIRONMENT, trial("gru"), trial("lstm"), measurement("lstm")])
    (table,) = tables(rows)

    assert [row.cell for row in table] == ["gru", "lstm"]


def test_levels_are_sorted_as_numbers() -> None:
    lines = [trial(level=replace(LEVEL, id=f"copying/delay-{n}", digest=str(n))) for n in (100, 30)]
    lines = [replace(line, unit_id=line.level.id) for line in lines]

    assert [t[0].level for t in tables(make_rows(lines))] == [
        "copying/delay-30",
        "copying/delay-100",
    ]


def test_every_row_has_an_id_of_its_own() -> None:
    wide, short_run = replace(SETTINGS, hidden=128), replace(SETTINGS, steps=10)
    elsewhere = replace(ENVIRONMENT, digest="env2", key=ENVIRONMENT.key | {"device": "Better CPU"})
    lines = [
        ENVIRONMENT, elsewhere,
        trial(), trial(settings=wide), trial(settings=short_run),
        measurement(), measurement(env="env2"),
        replace(trial(cell_source="newer"), unit_id="newer"),
    ]  # fmt: skip
    ids = [row.id for row in make_rows(lines)]

    assert len(ids) == len(set(ids)) == 5
    assert any("hidden=128" in name for name in ids)


def test_nothing_is_no_report() -> None:
    with pytest.raises(NothingMeasuredError, match="no result"):
        make_rows([ENVIRONMENT])


def test_the_table_fits_eighty_columns_and_loses_nothing() -> None:
    wide = {
        "state_bytes": 38_900, "state_grows": True,
        "parameters": Parameters(cell=128_000, hyper=0, model=1),
        "train_step": timings(0.0054), "streaming": timings(0.0001234, batch=1),
        "memory": Memory(static_bytes=1, peak_allocated_bytes=1234 << 20),
    }  # fmt: skip
    unsolved = {"settings": replace(SETTINGS, steps=20_000), **UNSOLVED}
    cells = ["hyperlstm", "min_gru", "my_cell.py:MyOwnGatedCell(depth=3)"]
    lines = [ENVIRONMENT]
    for cell in cells:
        lines += [trial(cell, seed=n, skill=-0.12 + n / 10, **unsolved) for n in range(3)]
        lines += [measurement(cell, settings=unsolved["settings"], **wide)]
    lines += [trial("gru", settings=unsolved["settings"], **CRASHED)]
    shown = terminal(lines)
    table = [line for line in shown.splitlines() if line.startswith(" ")]

    assert max(map(len, shown.splitlines())) <= 80
    (head,) = (line for line in table if " skill " in line)
    assert head.split() == [column.heading for column in COLUMNS]
    for cell in cells[:2]:
        (line,) = (line for line in table if f" {cell} " in line)

        assert line.split(maxsplit=1)[1].rstrip() == (
            "-0.02 (-0.12…0.08)    0/3 >20000 11.9k 123 1234   128k 38.9k+"
        )
    folded = "".join(line[:18].strip() for line in table)
    assert cells[2] in folded
    assert any("crashed" in line and "0/1" in line for line in table)
    assert "solved: accuracy ≥ 0.99; without memory: 0.125" in shown
    assert "! gru: 1 of 1 seeds crashed: ValueError: no (mine.py:3)" in shown


@pytest.mark.parametrize("width", [30, 40, 50, 60, 70])
def test_a_narrow_terminal_loses_columns_from_the_right_and_says_so(width) -> None:
    shown = terminal([ENVIRONMENT, *(trial(seed=n) for n in range(3)), measurement()], width)

    assert max(map(len, shown.splitlines())) <= width
    assert any(line.startswith(" lstm ") for line in shown.splitlines())
    assert ("no room for" in shown) == (width < 65)


def test_doubts_with_one_remedy_are_one_line() -> None:
    doubt = "train step spreads by 20% of its median; close other programs"
    lines = [measurement(cell, warnings=(doubt,)) for cell in ("gru", "lstm")]
    told = [line for line in terminal(lines, 200).splitlines() if line.startswith("!")]

    spread = "train step spreads by 20% of its median"
    assert told == [f"! gru: {spread}, lstm: {spread}; close other programs"]


def test_rows_stand_in_the_order_they_were_asked_for() -> None:
    lines = [trial(name) for name in ("rnn", "gru", "lstm")]

    assert [row.cell for row in make_rows(lines)] == ["gru", "lstm", "rnn"]
    assert [row.cell for row in make_rows(lines, ["lstm"])] == ["lstm", "gru", "rnn"]


def test_brackets_in_a_cell_are_text_and_no_markup() -> None:
    assert "[red]x" in terminal([trial("[red]x")])


def test_json_has_a_row_with_an_id_for_each_cell() -> None:
    rows = json.loads(to_json(make_rows([ENVIRONMENT, trial(), trial("gru"), measurement()])))

    assert [row["id"] for row in rows] == ["gru @ copying/delay-10", "lstm @ copying/delay-10"]
    assert rows[1]["skill"] == 0.994
    assert rows[0]["train_sequences_per_s"] is None


def test_csv_reads_back() -> None:
    rows = make_rows([trial("hyperlstm(a=1, b=2)", **CRASHED)])
    (found,) = csv.DictReader(io.StringIO(to_csv(rows)))

    assert found["cell"] == "hyperlstm(a=1, b=2)"
    assert found["skill"] == ""
    assert found["failures"] == "crashed: 1"


def test_markdown_is_a_table_a_level() -> None:
    text = to_markdown(make_rows([ENVIRONMENT, trial(), measurement()]))
    head, rule, row = (line for line in text.splitlines() if line.startswith("|"))

    assert head.count("|") == rule.count("|") == row.count("|")
    assert row.startswith("| lstm | 0.99 | 1/1 | 1500 | 6.4k |")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0"), (0.0123, "0.0123"), (87, "87"), (999.4, "999"), (999.9, "1k"),
        (1250, "1.25k"), (13_100, "13.1k"), (999_999, "1M"), (4_912_000, "4.91M"), (2e12, "2000G"),
    ],
)  # fmt: skip
def test_numbers_are_short_and_right(value, text) -> None:
    assert short(value) == text


def test_memory_is_in_units_of_two_to_the_twentieth() -> None:
    assert mebibytes(11 << 20) == "11"
    assert mebibytes(None) == "–"


def matched(cell: str, parameters: int, width: int, **changes):
    settings = replace(SETTINGS, hidden=width, match="params", budget=20_000, **changes)
    found = measurement(cell, settings=settings, parameters=Parameters(
        cell=parameters, hyper=0, model=parameters + 500))  # fmt: skip
    return [trial(cell, settings=settings), found]


def test_matched_cells_stand_together_with_their_width_and_how_near_they_came() -> None:
    lines = [ENVIRONMENT, *matched("lstm", 20_000, 64), *matched("gru", 20_080, 75)]
    rows = make_rows(lines)
    text = terminal(lines)

    assert len(list(tables(rows))) == 1
    assert [row.matched for row in rows] == pytest.approx([1.004, 1.0])
    assert [column.heading for column in columns_of(rows)][:3] == ["cell", "width", "off"]
    assert "75 +0.4%" in text
    assert "64 +0.0%" in text
    assert "20k parameters each, at most 2000 steps" in text
    assert "not to be compared" not in text
    assert "| gru | 75 | +0.4% |" in to_markdown(rows)


def test_a_cell_that_could_not_be_matched_is_told() -> None:
    lines = [ENVIRONMENT, *matched("lstm", 20_000, 64), *matched("ntm", 26_000, 1)]
    text = " ".join(terminal(lines).split())

    assert "! ntm: no width brings its params within 2% of the budget (+30.0%): not to" in text
    assert "! lstm" not in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"depth": 3}, "hidden 64, 3 layers, at most"),
        ({"block": "residual", "dropout": 0.1}, "hidden 64, residual blocks, dropout 0.1, at"),
        ({"bidirectional": True}, "hidden 64, both directions, at most"),
    ],
)
def test_models_built_in_another_way_stand_apart_and_say_so(changes, said) -> None:
    other = replace(SETTINGS, **changes)
    lines = [trial("gru"), trial("lstm", settings=other), measurement("lstm", settings=other)]

    assert len(list(tables(make_rows(lines)))) == 2
    assert said in terminal(lines, width=120)


def rungs(*skills):
    return tuple(
        Rung(length=length, sequences=8, skill=skill, metric=None if skill is None else skill / 2)
        for length, skill in zip((50, 100, 200), skills, strict=True)
    )


def test_what_was_learned_at_other_lengths_is_a_curve_and_a_reach() -> None:
    lines = [
        trial(seed=0, ladder=rungs(1.0, 0.95, 0.2)),
        trial(seed=1, ladder=rungs(0.99, 0.93, 0.95)),
        trial(seed=2, ladder=rungs(0.98, 0.1, None)),
    ]
    (row,) = make_rows(lines)

    assert [(step.length, step.skill, step.seeds) for step in row.ladder] == [
        (50, 0.99, 3),
        (100, 0.93, 3),
        (200, 0.2, 2),
    ]
    assert row.reach == 100, "the longest up to which the median seed keeps 0.9"
    assert json.loads(to_json([row]))[0]["ladder"][1]["skill_low"] == 0.1
    assert "50: 0.99; 100: 0.93; 200: 0.2" in to_csv([row])


@pytest.mark.parametrize(
    ("skills", "written"),
    [((0.5, 1.0, 1.0), "<50"), ((1.0, 0.9, 0.8), "100"), ((1.0, 1.0, 0.9), "≥200")],
)
def test_a_reach_says_where_it_is_at_the_end_of_what_was_tested(skills, written) -> None:
    (row,) = make_rows([trial(ladder=rungs(*skills))])
    headings = [column.heading for column in columns_of([row])]

    assert numbers.reach(row) == written
    assert headings[:3] == ["cell", "skill", "to"]


def test_a_level_without_a_ladder_has_no_column_for_it() -> None:
    assert "to" not in [column.heading for column in columns_of(make_rows([trial()]))]


def test_a_baseline_took_no_steps() -> None:
    (row,) = make_rows([trial("position", **UNSOLVED | {"steps": 0, "skill": -0.001})])

    assert numbers.steps(row) == "–"
    assert numbers.skill(row) == "0.00"
