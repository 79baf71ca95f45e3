"""The report of `cellbench perf`: rows, notes, tables, exponents, plots and data."""

from __future__ import annotations

import csv
import io
import itertools
import json
from typing import Any

import pytest
from msgspec.structs import replace
from records import ENVIRONMENT
from rich.console import Console

from cellbench.errors import NothingMeasuredError
from cellbench.record import (
    Ceilings,
    Cost,
    Failure,
    Sizes,
    Speed,
    Status,
    Timings,
    Work,
)
from cellbench.report.perf import perf_markdown, print_perf
from cellbench.report.perf_data import perf_csv, perf_json
from cellbench.report.perf_numbers import digits, exponent, seconds, share
from cellbench.report.perf_plots import plots
from cellbench.report.perf_rows import groups, notes, speed_rows
from cellbench.report.perf_scaling import scalings
from cellbench.stats.scaling import Exponent
from cellbench.store.journal import Journal

CEILINGS = Ceilings(operations_per_s=1e11, bytes_per_s=1e10)


def cost(call_s: float, *, batch: int = 16, time: int = 128, **changes: Any) -> Cost:
    timings = Timings(
        blocks_s=(call_s * 2,) * 5, calls_per_block=2, batch=batch, time=time, first_call_s=call_s
    )
    work = Work(operations=round(call_s * 1e10), bytes=round(call_s * 1e8))
    return Cost(timings=replace(timings, **changes), work=work)


def speed(cell: str = "lstm", time: int = 128, batch: int = 16, hidden: int = 64, **changes: Any):
    call_s = 1e-6 * time * batch**0.5 * hidden / 64
    sizes = Sizes(time=time, batch=batch, input=hidden, hidden=hidden)
    given: dict[str, Any] = {
        "speed_id": f"{cell}-{sizes}-{changes.get('env', 'env')}-{changes.get('dtype')}",
        "cell": cell,
        "cell_source": "source",
        "sizes": sizes,
        "device": "cpu",
        "dtype": "float32",
        "unroll": "auto",
        "status": Status.OK,
        "unrolled": "parallel",
        "parity_error": 1e-7,
        "parity_ok": True,
        "ceilings": CEILINGS,
        "train_step": cost(call_s * 3, batch=batch, time=time),
        "inference": cost(call_s, batch=batch, time=time),
        "streaming": cost(2e-5, batch=1, time=1),
        "streaming_batch": cost(3e-5, batch=batch, time=1),
        "env": "env",
    }
    return Speed(**given | changes)


def failed(cell: str = "mine.py:Mine", **changes: Any) -> Speed:
    why = Failure(type="ValueError", message="no", where="mine.py:3")
    nothing = dict.fromkeys(("train_step", "inference", "streaming", "streaming_batch", "ceilings"))
    given = {"status": Status.CRASHED, "error": why, "unrolled": "", "parity_ok": False}
    return speed(cell, **nothing | given | changes)


GRID = [
    speed(cell, *sizes)
    for sizes in itertools.product((128, 512, 2048), (16, 64), (64, 128))
    for cell in ("lstm", "gru")
]


def terminal(lines, width: int = 80, *, drawn: bool = True) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_perf(speed_rows(lines), console, drawn=drawn)
    return console.file.getvalue()


def test_a_row_is_a_cell_at_a_size_with_its_share_of_the_roofline() -> None:
    (row,) = speed_rows([ENVIRONMENT, speed()])

    assert row.id == "lstm T=128 B=16 H=64"
    assert row.roofline["train_step"] == pytest.approx(0.1), "operations decide"
    assert "device=Some CPU" in row.machine
    assert row.notes == ()


def test_small_sizes_come_first_and_cells_in_the_order_that_was_asked() -> None:
    rows = speed_rows([speed("a", 512), speed("b", 128), speed("a", 128)], ["b", "a"])

    assert [row.id.partition(" B")[0] for row in rows] == ["b T=128", "a T=128", "a T=512"]


def test_nothing_timed_is_no_success() -> None:
    with pytest.raises(NothingMeasuredError, match="cellbench perf"):
        speed_rows([ENVIRONMENT])


def test_of_a_size_timed_twice_the_newest_counts() -> None:
    older, newer = speed(), speed(train_step=cost(9.0))
    (row,) = speed_rows([older, newer])

    assert row.speed == newer


def test_other_machines_dtypes_and_ways_stand_in_other_tables() -> None:
    other = replace(ENVIRONMENT, digest="other", key=ENVIRONMENT.key | {"device": "Other CPU"})
    lines = [
        ENVIRONMENT, other, speed(), speed("gru"), speed(env="other"), speed(dtype="float64"),
        speed("rnn", unroll="stepwise"),
    ]  # fmt: skip

    assert sorted(len(group) for group in groups(speed_rows(lines))) == [1, 1, 1, 2]


def test_a_failure_is_a_row_with_its_reason_and_no_number() -> None:
    text = terminal([speed(), failed()])
    (line,) = [line for line in text.splitlines() if line.startswith(" 128 16 64 mine.py:Mine")]

    assert line.split() == ["128", "16", "64", "mine.py:Mine", "crashed", *"––––"]
    assert "! mine.py:Mine T=128 B=16 H=64: not timed: crashed: ValueError: no (mine.py:3)" in text


def test_a_wrong_fast_form_is_a_row_without_a_speed() -> None:
    warning = "parallel and stepwise differ by 5.9e-01; not timed"
    wrong = failed(
        status=Status.OK, error=None, unrolled="parallel", parity_error=0.59, warnings=(warning,)
    )
    text = terminal([wrong], 100)

    assert "not right" in text
    assert "parallel and stepwise differ by 5.9e-01; not timed" in text
    assert "%" not in text.partition("T: steps")[0], "no share of a roofline"


def test_what_differs_in_numbers_only_is_told_once() -> None:
    def told(time: int, error: str) -> Speed:
        return speed("lstm", time, warnings=(f"they differ by {error}; not timed",))

    found = notes(speed_rows([told(1, "1.2e-01"), told(2, "7e+10"), told(3, "0.5")]))

    assert found == [
        "lstm T=1 B=16 H=64: they differ by 1.2e-01, and the like at 2 other sizes; not timed"
    ]


def test_times_that_spread_are_counted_and_the_worst_is_named() -> None:
    noisy = cost(1.0, blocks_s=(1.0, 1.4, 0.8, 1.3, 0.7))
    (note,) = notes(speed_rows([speed("lstm"), speed("gru", inference=noisy)]))

    assert note == (
        "1 of 8 times spread by more than 10% of their median, the most by 60% (gru T=128 B=16 "
        "H=64, inference); close other programs and --remeasure"
    )


def test_a_fallback_and_the_compile_time_are_told() -> None:
    fell = speed(unrolled="stepwise", fallback="not compiled: it branches", compile_s=0.4)
    compiled = speed("gru", unrolled="compiled", compile_s=41.26)

    assert notes(speed_rows([fell, compiled])) == [
        "gru T=128 B=16 H=64: took 41.3 s to compile, in no timing",
        "lstm T=128 B=16 H=64: stepwise, since not compiled: it branches",
    ]


def on_cuda(unrolled: str, replay_s: tuple[float, ...], why: str = "") -> Speed:
    found = cost(0.3, device_blocks_s=(0.58,), replay_blocks_s=replay_s)
    return speed(unrolled=unrolled, device="cuda", train_step=replace(found, unreplayed=why))


@pytest.mark.parametrize(
    ("unrolled", "asked", "advice"),
    [
        ("stepwise", "auto", "--unroll compiled"),
        ("stepwise", "compiled", "larger batches"),
        ("parallel", "auto", "larger batches"),
    ],
)
def test_launch_bound_is_a_finding_with_advice_that_was_not_tried(unrolled, asked, advice) -> None:
    (note,) = notes(speed_rows([replace(on_cuda(unrolled, (0.1,)), unroll=asked)]))

    assert "train step is launch-bound: wall time is 6.0 times the device's" in note
    assert note.endswith(f"try {advice}")


def test_wall_device_and_replay_stand_apart() -> None:
    text = terminal([on_cuda("stepwise", (0.1,))])

    assert "wall / device / replayed as a CUDA graph" in text
    assert "300/290/50" in text


def test_why_there_is_no_replay_is_told() -> None:
    text = terminal([on_cuda("stepwise", (), "RuntimeError: it waits")], 200)

    assert "train step could not be replayed as a CUDA graph: RuntimeError: it waits" in text
    assert "300/290/–" in text


def test_a_cpu_has_no_table_of_device_times() -> None:
    assert "CUDA graph" not in terminal([speed()])


def test_exponents_are_of_each_cell_call_and_way() -> None:
    (group,) = groups(speed_rows([*GRID, speed("lstm", 64, unrolled="stepwise")]))
    laws = {(s.cell, s.unrolled, s.call): s.law for s in scalings(group)}
    train = laws["lstm", "parallel", "train_step"]

    assert train.exponents["time"].value == pytest.approx(1)
    assert train.exponents["batch"].value == pytest.approx(0.5)
    assert train.exponents["hidden"].value == pytest.approx(1)
    assert train.points == 12
    assert "batch" not in laws["lstm", "parallel", "streaming"].exponents, "it has a batch of 1"
    assert laws["lstm", "stepwise", "train_step"].points == 1


def test_exponents_without_an_interval_say_what_is_missing() -> None:
    text = terminal([speed("lstm", 128), speed("lstm", 512)])

    assert "1.00 ±?" in text
    assert "! ±?: no point is left over for an interval; give more" in text


def test_one_size_has_no_exponents_and_no_plot() -> None:
    text = terminal([speed()])

    assert "exponents" not in text
    assert "┤" not in text


@pytest.mark.parametrize("width", [80, 60, 100])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width) -> None:
    cells = ["hyperlstm(hyper_size=32)", "my_cell.py:MyCell", "lstm"]
    lines = [speed(cell, t, b, h) for cell, (t, b, h) in itertools.product(
        cells, itertools.product((128, 2048), (16, 64), (64, 1024))
    )]  # fmt: skip
    text = terminal(lines, width)

    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text.partition("ceilings")[0], "what is cut short is another number"
    if width == 60:
        assert "no room for 1 step op" in text


def test_plots_hold_the_other_sizes_at_their_greatest() -> None:
    (group,) = groups(speed_rows(GRID))
    train, inference, step = plots(group)

    assert "train step, wall seconds against T" in train[0]
    assert "B=64, H=128" in train[0]
    assert inference[-2].split() == ["128", "512", "2048"]
    assert "one step, wall seconds against H" in step[0]
    assert train[-1].strip().startswith("✱ several") or "● gru   ○ lstm" in train[-1]


def test_a_pipe_gets_no_colours() -> None:
    assert "\x1b" not in terminal([*GRID, failed()])


def test_markdown_has_every_table_and_the_plots_in_code() -> None:
    text = perf_markdown(speed_rows(GRID), drawn=True)

    assert "| T | B | H | cell | way | train ms |" in text
    assert "| cell | way | call | T | B | H | points | misfit |" in text
    assert text.count("```") == 6
    assert perf_markdown(speed_rows(GRID), drawn=False).count("```") == 0


def test_json_has_all_raw_blocks_and_the_laws() -> None:
    found = json.loads(perf_json(speed_rows([*GRID, failed()])))
    first = found["speeds"][0]

    assert len(found["speeds"]) == 25
    assert (
        first["speed"]["train_step"]["timings"]["blocks_s"]
        == [pytest.approx(2 * 3 * 1e-6 * 128 * 4)] * 5
    )
    assert first["roofline"]["inference"] == pytest.approx(0.1)
    assert found["scaling"][0]["law"]["exponents"]["time"] == {
        "value": pytest.approx(1), "margin": pytest.approx(0, abs=1e-9),
    }  # fmt: skip


def test_csv_has_a_line_for_each_block_and_one_for_a_failure() -> None:
    text = perf_csv([on_cuda("stepwise", (0.1, 0.2)), failed()])
    lines = list(csv.DictReader(io.StringIO(text)))
    clocks = [(line["clock"], line["block_s"]) for line in lines if line["call"] == "train_step"]

    assert clocks == [("wall", "0.6")] * 5 + [
        ("device", "0.58"),
        ("replay", "0.1"),
        ("replay", "0.2"),
    ]
    assert [line["error"] for line in lines if not line["call"]] == ["ValueError: no"]
    assert len(lines) == 5 + 3 + 15 + 1


def test_a_speed_comes_back_from_the_journal_as_it_was(tmp_path) -> None:
    journal = Journal(tmp_path / "results.jsonl")
    for line in (ENVIRONMENT, *GRID[:2], failed()):
        journal.append(line)

    assert list(journal) == [ENVIRONMENT, *GRID[:2], failed()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.234e-5, "12.3 µs"),
        (4.56e-3, "4.56 ms"),
        (0.00099996, "1 ms"),
        (0.9999, "1 s"),
        (78.94, "78.9 s"),
        (1234, "1234 s"),
    ],
)
def test_seconds_have_a_unit(value, text) -> None:
    assert seconds(value) == text


def test_numbers_are_short() -> None:
    assert [digits(v) for v in (None, 0.01234, 999.4, 999.6, 12345)] == [
        "–", "0.0123", "999", "1000", "12345",
    ]  # fmt: skip
    assert [share(v) for v in (None, 0.00432, 0.0994, 0.0996, 1.4)] == [
        "–", "0.43%", "9.9%", "10%", "140%",
    ]  # fmt: skip
    assert [exponent(e) for e in (None, Exponent(1.004), Exponent(-0.5, 0.126))] == [
        "–", "1.00 ±?", "-0.50 ±0.13",
    ]  # fmt: skip
