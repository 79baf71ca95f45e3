"""A gate as GitHub's workflow commands."""

from __future__ import annotations

import re

import pytest
from gate_reports import EVERY, FAILED, GOOD, REGRESSED, UNSURE, gate, timed, void
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cellbench.report.gate_annotations import Mark, command, file_of, to_annotations
from cellbench.verdicts import Verdict

COMMAND = re.compile(r"::(error|warning|notice) (?:file=([^:,]+),)?title=([^:,]+)::(.*)")


def unescaped(text: str) -> str:
    for escape, letter in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(escape, letter)
    return text


def kinds_of(lines: list[str]) -> list[str]:
    return [COMMAND.fullmatch(line)[1] for line in lines]


def test_each_verdict_has_its_kind_and_the_worst_comes_first() -> None:
    lines = to_annotations(gate(*EVERY, exit=4, advisory=("load 3 on 2 cores",)))

    assert kinds_of(lines) == ["error"] * 6 + ["warning"] * 2 + ["notice"] * 3
    assert lines[0].startswith("::error file=my_cell.py,title=cellbench%3A failed::my_cell.py:My")
    assert (
        "::error title=cellbench%3A regressed::hyperlstm train_step 1.21x [1.17, 1.26], confirmed"
        in lines
    )
    assert any(line.startswith("::warning title=cellbench%3A cannot tell::lstmn") for line in lines)
    assert "::warning title=cellbench%3A advisory only::load 3 on 2 cores" in lines


def test_a_pass_is_a_notice_and_what_cannot_be_told_is_none() -> None:
    assert to_annotations(gate(*GOOD)) == [
        "::notice title=cellbench::no regression beyond 3%25: 3 equivalent, 2 exact metrics equal"
    ]
    assert kinds_of(to_annotations(gate(*GOOD, UNSURE))) == ["warning"]


def test_a_gate_that_fails_always_has_an_error() -> None:
    nothing = gate(exit=5, exit_reason="nothing was measured")

    assert to_annotations(nothing) == ["::error title=cellbench::no answer: nothing was measured"]
    assert kinds_of(to_annotations(gate(UNSURE, exit=3))) == ["error", "warning"]


def test_of_a_void_gate_nothing_is_said_but_that() -> None:
    (line,) = to_annotations(void(REGRESSED, UNSURE))

    assert line.startswith("::error title=cellbench%3A void::the control torch.nn:LSTM moved")


@pytest.mark.parametrize(("count", "shown"), [(9, 9), (10, 10), (11, 10), (40, 10)])
def test_there_are_at_most_ten_of_a_kind_and_the_last_says_how_many_more(count, shown) -> None:
    bad = [timed(f"c{n}", Verdict.REGRESSED, low=1 + n / 100) for n in range(count)]
    unsure = [timed(f"d{n}", Verdict.INCONCLUSIVE) for n in range(count)]
    lines = to_annotations(gate(*bad, *unsure, exit=1))
    last = [line for line in lines if line.startswith("::error")][-1]

    assert kinds_of(lines) == ["error"] * shown + ["warning"] * shown
    assert f"::c{count - 1} " in lines[0], "the worst"
    assert ("more, in the summary" in last) == (count > 10)
    if count > 10:
        assert f"::and {count - 9} more" in last


def test_what_would_end_a_command_or_begin_another_is_escaped() -> None:
    mark = Mark(title="a,b:c%\r\n", text="100%\r\n::error::x, y: z", file="d,e:f.py")

    assert command("error", mark) == (
        "::error file=d%2Ce%3Af.py,title=a%2Cb%3Ac%25%0D%0A::100%25%0D%0A::error::x, y: z"
    )


@given(st.text(), st.text())
def test_any_text_is_one_line_and_comes_back(title, text) -> None:
    line = command("notice", Mark(title=f"t{title}", text=text))

    assert len(re.split("[\r\n]", line)) == 1
    _, _, rest = line.partition(" title=")
    said, _, data = rest.partition("::")
    assert unescaped(said) == f"t{title}"
    assert unescaped(data.replace("%2C", "%252C").replace("%3A", "%253A")) == text


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("my_cell.py:MyCell", "my_cell.py"),
        ("cells/my_cell.py:MyCell(a=0.9)", "cells/my_cell.py"),
        ("torch.nn:LSTM", ""),
        ("lstm", ""),
        ("wrap(inner=x.py:Y)", ""),
        ("py:MyCell", ""),
    ],
)
def test_a_cell_that_is_a_file_is_marked_there(cell, file) -> None:
    assert file_of(cell) == file


@pytest.mark.parametrize(
    ("cell", "folder", "where"),
    [
        ("my_cell.py:A", "", "file=my_cell.py,"),
        ("my_cell.py:A", "research/cells", "file=research/cells/my_cell.py,"),
        ("/abs/my_cell.py:A", "", ""),
        ("/abs/my_cell.py:A", "research", ""),
    ],
)
def test_files_are_told_from_the_root_of_the_repository(cell, folder, where) -> None:
    (line,) = to_annotations(gate(replace(FAILED, cell=cell), exit=4), folder=folder)

    assert line.startswith(f"::error {where}title=")
