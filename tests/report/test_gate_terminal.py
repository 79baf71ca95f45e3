"""A gate at a terminal."""

from __future__ import annotations

import io
import re

import pytest
from gate_reports import CALIBRATION, EVERY, GOOD, UNSURE, gate, timed, void
from msgspec.structs import replace
from rich.console import Console

from cellbench.report import gate_rows as rows
from cellbench.report.gate_terminal import print_gate
from cellbench.verdicts import Verdict


def terminal(report, width: int = 80, **options) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, **options)
    print_gate(report, console)
    return console.file.getvalue()


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(" ") and "──" not in line][1:]


def test_the_answer_is_the_first_line_and_the_worst_the_first_row() -> None:
    text = terminal(gate(*EVERY, exit=4, calibration=CALIBRATION), 100)
    table = [line.split() for line in lines_of(text) if line.strip()]

    assert text.startswith("failed: my_cell.py:MyCell(a=0.9) cell: RuntimeError")
    assert table[0][-1] == "verdict"
    assert table[1][-1] == "failed"
    assert table[-1][-1] == "equivalent"


def test_a_row_has_both_sides_their_ratio_and_bounds() -> None:
    (row,) = [line for line in terminal(gate(*EVERY)).splitlines() if "1.17" in line and "x" not in
              line]  # fmt: skip

    assert row.split() == [
        "hyperlstm", "train_step", "10", "ms", "12.1", "ms", "1.21", "[1.17,", "1.26]", "regressed",
    ]  # fmt: skip


def test_exact_metrics_that_are_equal_are_summed_up() -> None:
    text = terminal(gate(*GOOD))

    assert "parameters" not in text
    assert "2 exact metrics equal" in text


def test_what_is_inconclusive_reads_cannot_tell_and_has_a_remedy() -> None:
    text = terminal(gate(*GOOD, UNSURE))
    (row,) = [line for line in lines_of(text) if "lstmn" in line]

    assert row.rstrip().endswith("cannot tell")
    assert "! lstmn train_step: cannot tell; about --launches 20 would" in text
    assert "neither a pass nor a" in text


def test_a_void_gate_says_at_once_that_nothing_is_to_be_believed() -> None:
    first, second, *_ = terminal(void()).splitlines()

    assert first.startswith("void: the control")
    assert second == "! void: believe nothing of the below; see to that, and run it again"


def test_everything_that_qualifies_the_answer_is_there() -> None:
    report = gate(*EVERY, advisory=("a stored baseline",), notes=("lock files differ",))
    text = " ".join(terminal(report).split())

    for part in (
        "! advisory only: a stored baseline",
        "! lock files differ",
        "! left out 15 rounds",
        "control torch.nn:LSTM, the same code on both sides: train_step 1.00 [0.99, 1.01]",
        "noise of this machine unknown: run `cellbench calibrate`",
        "raw values in results/local-gate/gate.jsonl",
        "took 3 min 21 s",
    ):
        assert part in text


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width) -> None:
    long = timed("package.module:ACellOfAVeryLongName(option=17,other=True)", Verdict.REGRESSED)
    text = terminal(gate(*EVERY, long, calibration=CALIBRATION), width)

    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    assert ("no room for base" in text) == (width < 80)
    if width >= 60:
        assert "1.21 [1.17, 1.26]" in text


def test_text_of_a_cell_is_no_markup_and_draws_nothing() -> None:
    text = terminal(gate(timed("[bold]x[/bold]", metric="\x1b[31mred"), *GOOD))

    assert "[bold]x[/bold]" in re.sub(r"\s", "", text) or "[bold]x[/b" in text
    assert "\x1b" not in text


def test_colours_are_for_terminals_that_want_them(monkeypatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = terminal(gate(*EVERY), force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = terminal(gate(*EVERY), force_terminal=True, color_system="standard")

    assert "\x1b[31m" in coloured
    assert "\x1b[31m" not in plain
    assert "\x1b" not in terminal(gate(*EVERY)), "nor for a pipe"


def test_nothing_to_list_is_no_table() -> None:
    text = terminal(gate(exit=5, exit_reason="nothing was measured on both sides"))

    assert text.startswith("no answer: nothing was measured on both sides")
    assert "metric" not in text
    assert "─" not in text


def test_a_passed_gate_is_the_only_green_one() -> None:
    def style(report) -> str:
        return terminal(report, force_terminal=True, color_system="standard")[:8]

    assert "32" in style(gate(*GOOD))
    assert "33" in style(gate(*GOOD, UNSURE))
    assert "31" in style(void())
    assert "31" in style(replace(gate(*GOOD), exit=6))
    assert rows.overall(gate(*GOOD, UNSURE)) != "passed"
