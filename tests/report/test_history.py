"""From lines of a history to series, tables, Markdown, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest
from histories import FIRST_DAY, OTHER, SLOWER_FROM, commit, drifting, flat, missing, point
from records import ENVIRONMENT
from rich.console import Console

from cellbench.report.history import print_history
from cellbench.report.history_columns import last, percent, sentences
from cellbench.report.history_rows import make_series
from cellbench.report.history_sheets import to_csv, to_json, to_markdown
from cellbench.stats.change_points import Rules

MACHINES = [ENVIRONMENT, OTHER]


def series(points, rules: Rules | None = None):
    return make_series([*MACHINES, *points], rules)


def only(points, rules: Rules | None = None):
    (found,) = series(points, rules)
    return found


def printed(found, width: int = 80, encoding: str = "utf-8") -> str:
    class File(io.StringIO):
        @property
        def encoding(self) -> str:
            return encoding

    console = Console(file=File(), width=width)
    print_history(found, console)
    return console.file.getvalue()


def test_a_change_is_found_in_ratios_where_the_machine_drifts() -> None:
    gru, lstm = series(drifting())
    (change,) = gru.changes

    assert (gru.cell, gru.judged, lstm.judged) == ("gru", "ratio", "value")
    assert (change.before, change.after) == (commit(SLOWER_FROM - 1), commit(SLOWER_FROM))
    assert change.place == SLOWER_FROM
    assert change.low < 0.12 < change.high
    assert change.worse
    assert lstm.is_reference
    assert not gru.is_reference


def test_in_raw_values_the_drift_hides_it() -> None:
    raw = [msgspec.structs.replace(one, reference="", ratio=None) for one in drifting()]

    assert all(one.changes == () for one in series(raw))


@pytest.mark.parametrize(("better", "slower", "worse"), [
    ("lower", 1.12, True), ("lower", 0.8, False), ("higher", 1.12, False), ("higher", 0.8, True),
])  # fmt: skip
def test_what_is_worse_depends_on_what_is_better(better, slower, worse) -> None:
    points = [
        msgspec.structs.replace(one, better=better)
        for one in drifting(slower=slower)
        if one.cell == "gru"
    ]

    assert [change.worse for change in only(points).changes] == [worse]


def test_commits_are_in_the_order_they_were_made_whatever_the_file_says() -> None:
    found = only(flat(30)[::-1])

    assert [entry.commit for entry in found.entries] == [commit(n) for n in range(30)]


def test_time_zones_are_compared_as_times() -> None:
    early = point(0, committed_at="2026-01-01T12:00:00+02:00")
    late = point(1, committed_at="2026-01-01T11:00:00+00:00")

    assert [entry.commit for entry in only([late, early]).entries] == [commit(0), commit(1)]


def test_where_git_knew_nothing_it_is_when_it_was_measured() -> None:
    points = [
        point(n, committed_at="", measured_at=f"2026-01-0{9 - n}T00:00:00+00:00") for n in range(3)
    ]

    assert [entry.commit for entry in only(points).entries] == [commit(n) for n in (2, 1, 0)]


def test_runs_of_one_commit_are_one_entry_of_their_median() -> None:
    points = [point(0, run_id=f"run-{n}", value=v) for n, v in enumerate((1.0, 9.0, 2.0))]
    (entry,) = only(points).entries

    assert (entry.value, entry.runs) == (2.0, 3)


def test_a_run_that_is_there_twice_counts_once() -> None:
    (entry,) = only([point(0, value=1.0), point(0, value=3.0)]).entries

    assert (entry.value, entry.runs) == (3.0, 1)


@pytest.mark.parametrize("change", [
    {"env": "other"}, {"env": "unknown"}, {"branch": "topic"}, {"at": "hidden 128"},
    {"reference": "rnn"}, {"metric": "inference"}, {"cell": "rnn"}, {"exact": True},
])  # fmt: skip
def test_what_may_not_be_compared_is_never_in_one_series(change) -> None:
    found = series([*flat(25), *(point(n, **change) for n in range(25))])

    assert [len(one.entries) for one in found] == [25, 25]
    assert len({one.id for one in found}) == 2


def test_two_machines_with_one_name_are_told_apart_by_all_facts() -> None:
    other = msgspec.structs.replace(OTHER, key=ENVIRONMENT.key | {"driver": "550"})
    found = make_series([ENVIRONMENT, other, point(0), point(0, env="other")])

    assert len({one.id for one in found}) == 2
    assert "driver=550" in printed(found, width=200)


def test_environments_with_the_same_key_are_one_machine() -> None:
    upgraded = msgspec.structs.replace(ENVIRONMENT, digest="new", facts={"release": "6.9"})
    found = make_series([ENVIRONMENT, upgraded, point(0), point(1, env="new")])

    assert [len(one.entries) for one in found] == [2]


@pytest.mark.parametrize("bad", [{"value": None, "values": ()}, {"value": 0.0}, {"value": -1.0}])
def test_what_is_no_number_is_a_gap_and_not_counted(bad) -> None:
    found = only([*flat(19), point(19, **bad), *[point(n) for n in range(20, 22)]])

    assert len(found.entries) == 22
    assert found.usable == 21
    assert found.numbers[19] is None
    assert found.changes == ()


def test_a_change_beside_a_gap_names_the_commits_that_were_measured() -> None:
    points = [one for one in drifting() if one.cell == "gru"]
    points[SLOWER_FROM - 1] = missing(points[SLOWER_FROM - 1])
    (change,) = only(points).changes

    assert (change.before, change.after) == (commit(SLOWER_FROM - 2), commit(SLOWER_FROM))


def test_too_few_points_are_never_no_change() -> None:
    few, enough = only(flat(19)), only(flat(20))

    assert few.changes is None
    assert sentences([few]) == ["insufficient data (19 of 20): gru train_step"]
    assert enough.changes == ()
    assert sentences([enough]) == ["no change found: gru train_step"]
    assert only(flat(19), Rules(window=10)).changes == ()


def test_what_is_counted_changes_wherever_it_differs() -> None:
    sizes = [100.0, 100.0, 101.0, 101.0, 100.0]
    points = [point(n, exact=True, unit="bytes", value=size) for n, size in enumerate(sizes)]
    changes = only(points).changes

    assert [(one.place, one.worse) for one in changes] == [(2, True), (4, False)]
    assert changes[0].change == pytest.approx(0.01)


def test_a_count_may_start_from_nothing() -> None:
    points = [point(n, exact=True, unit="", value=float(n)) for n in range(2)]
    found = only(points)

    assert found.changes[0].change is None
    assert "from 0 in 0000000..0101010, for the worse" in sentences([found])[0]
    assert only([points[0]]).changes is None


def test_the_last_change_is_against_the_median_before() -> None:
    points = [point(n, value=v) for n, v in enumerate((1.0, 2.0, 9.0, 3.0))]

    assert only(points).last_change == pytest.approx(0.5)
    assert only(points[:1]).last_change is None


def test_recent_counts_commits_of_the_branch_whatever_was_measured() -> None:
    points = [*flat(5), *flat(3, cell="rnn", env="other"), *flat(2, cell="lstm", branch="topic")]
    found = {one.cell: one.recent for one in series(points)}

    assert found == {"gru": 1, "rnn": 3, "lstm": 1}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00123, "s", "1.23 ms"),
        (3 << 20, "bytes", "3 MiB"),
        (512, "bytes", "0.5 KiB"),
        (19456, "", "19,456"),
        (0.75, "", "0.75"),
    ],
)
def test_values_have_their_unit(value, unit, text) -> None:
    assert last(only([point(value=float(value), unit=unit)])) == text


def test_a_change_of_nothing_has_no_sign() -> None:
    assert [percent(value) for value in (-0.0001, 0.0004, 0.123, None)] == [
        "0.0%", "0.0%", "+12.3%", "–",
    ]  # fmt: skip


def test_a_table_fits_80_columns_and_names_each_machine() -> None:
    text = printed(series([*drifting(), *drifting(7, env="other")]))

    assert max(map(len, text.splitlines())) <= 80
    assert "Some CPU, 1 thread, torch 2.13.0, float32; branch main\n" in text
    assert "Some CPU, 2 threads, torch 2.13.0, float32; branch main\n" in text
    assert "insufficient data (7 of 20): gru train_step, lstm train_step\n" in text
    assert "lstm is the reference: its changes are the machine's\n" in text
    assert "in 2424242..2525252, for the worse\n" in text


def test_the_sparkline_of_a_step_is_one() -> None:
    gru = next(one for one in series(drifting()) if one.cell == "gru")
    row = next(line for line in printed([gru], width=120).splitlines() if " gru " in line)
    drawn = row.split()[3]

    assert set(drawn[:SLOWER_FROM]) <= set("▁▂▃")
    assert set(drawn[SLOWER_FROM:]) <= set("▅▆▇█")
    assert len(drawn) == 40


def test_long_names_are_folded() -> None:
    found = series(flat(3, cell="a_module_of_mine.cells:ACellWithALongName(option=0.125)"))
    text = printed(found)

    assert max(map(len, text.splitlines())) <= 80
    assert "4 ms" in text


def test_a_terminal_without_unicode_gets_ascii() -> None:
    points = drifting()
    points[5] = missing(points[5])
    text = printed(series(points), encoding="ascii")

    assert text.isascii()
    assert "@" in text


def test_a_failure_is_told_with_its_commit() -> None:
    found = only([*flat(3), missing(point(3), "OutOfMemoryError: too big")])

    assert "gru train_step: failed at 0303030: OutOfMemoryError: too big" in sentences([found])
    assert last(found) == "failed"


def test_markdown_has_the_same_facts() -> None:
    text = to_markdown(series(drifting()))

    assert text.startswith("**Some CPU, 1 thread, torch 2.13.0, float32; branch main**")
    assert "| cell | metric | last 24 | commits | last | ratio | change |" in text
    assert "- gru train_step: +1" in text


def test_json_has_every_entry_and_null_for_unknown_changes() -> None:
    found = json.loads(to_json(series([*drifting(), *flat(3, cell="rnn")])))
    by_cell = {one["cell"]: one for one in found}

    assert by_cell["rnn"]["changes"] is None
    assert by_cell["lstm"]["changes"] == []
    assert by_cell["gru"]["changes"][0]["after"] == commit(SLOWER_FROM)
    assert len(by_cell["gru"]["entries"]) == 40


def test_csv_has_a_line_a_commit() -> None:
    points = [*drifting(), missing(point(50, reference="lstm"))]
    rows = list(csv.DictReader(io.StringIO(to_csv(series(points)))))
    changed = [row for row in rows if row["changed"]]

    assert len(rows) == 81
    assert [row["commit"] for row in changed] == [commit(SLOWER_FROM)]
    assert changed[0]["worse"] == "True"
    assert rows[0]["committed_at"] == FIRST_DAY.isoformat()
    assert [row["value"] for row in rows if row["commit"] == commit(50)] == [""]
