"""A gate as Markdown: escaped, and below the limits of a summary and of a comment."""

from __future__ import annotations

import re

import pytest
from gate_reports import CALIBRATION, EVERY, GOOD, REGRESSED, UNSURE, gate, timed, void
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cellbench.report.gate_markdown import (
    COMMENT_BYTES,
    MARKER,
    SUMMARY_BYTES,
    escaped,
    to_comment,
    to_markdown,
)
from cellbench.verdicts import Verdict

UNESCAPED_PIPE = re.compile(r"(?<!\\)\|")


def table_of(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in UNESCAPED_PIPE.split(line)[1:-1]] for line in lines]


def many(count: int, **changes) -> list:
    return [timed(f"cell_{n}", Verdict.INCONCLUSIVE, **changes) for n in range(count)]


def test_the_answer_comes_first_and_every_row_has_all_columns() -> None:
    text = to_markdown(gate(*EVERY, exit=4, calibration=CALIBRATION))
    heading, rule, *body = table_of(text)

    assert text.startswith("**failed: my\\_cell.py:MyCell(a=0.9) cell: RuntimeError: no \\| such ")
    assert heading == ["cell", "metric", "base", "head", "ratio \\[95%\\]", "verdict"]
    assert rule == ["---", "---", "---:", "---:", "---:", "---"]
    assert {len(row) for row in body} == {6}
    assert body[0][-1] == "failed"
    assert ["hyperlstm", "train\\_step", "10 ms", "12.1 ms", "1.21 \\[1.17, 1.26\\]", "regressed"] \
        in body  # fmt: skip


def test_what_is_inconclusive_reads_cannot_tell() -> None:
    text = to_markdown(gate(*GOOD, UNSURE))

    assert table_of(text)[2][-1] == "cannot tell"
    assert "- lstmn train\\_step: cannot tell; about --launches 20 would" in text


def test_a_void_gate_says_so_first() -> None:
    assert to_markdown(void()).startswith("**void: the control")


def test_a_comment_begins_with_a_mark_that_nobody_sees() -> None:
    report = gate(*EVERY)

    assert to_comment(report).partition("\n") == (MARKER, "\n", to_markdown(report))
    assert MARKER.startswith("<!--")
    assert MARKER.endswith("-->")
    assert MARKER not in to_markdown(report)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("`rm`", r"\`rm\`"),
        ("a\nb\r\n## c", "a b ## c"),
        ("@torvalds fixes #1", "@\u200btorvalds fixes #\u200b1"),
        ("GH-12", "GH-\u200b12"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("<!-- cellbench gate -->", "&lt;!-- cellbench gate --&gt;"),
        ("![x](http://a.b)", r"!\[x\](http:" + "//\u200ba.b)"),
        ("__init__ *b* \\|", r"\_\_init\_\_ \*b\* \\\|"),
        ("www.a.b", "www.\u200ba.b"),
        ("a & b", "a &amp; b"),
    ],
)
def test_text_is_shown_as_it_is_and_calls_for_nobody(text, shown) -> None:
    assert escaped(text) == shown


HOSTILE = "x | `y` @everyone #1\n| a | b |\n::error::no"


def test_no_text_of_a_report_breaks_a_table_or_calls_for_somebody() -> None:
    bad = timed(HOSTILE, Verdict.FAILED, metric=HOSTILE, detail=HOSTILE)
    report = gate(
        bad, base=HOSTILE, control="|" + HOSTILE, advisory=(HOSTILE,), notes=(HOSTILE,),
        machine=HOSTILE, exit_reason=HOSTILE, journal=HOSTILE, exit=4, calibration=CALIBRATION,
    )  # fmt: skip
    text = to_markdown(report)

    assert len(table_of(text)) == 3
    assert {len(row) for row in table_of(text)} == {6}
    assert not re.search(r"[@#]\w", text)
    assert not re.search(r"(?<!\\)`", text)
    assert not re.search("^::", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("limit", "detail", "width"),
    [(COMMENT_BYTES, "", 0), (COMMENT_BYTES, "ü" * 3000, 0), (SUMMARY_BYTES, "", 1000)],
)
def test_it_is_below_the_limit_the_worst_kept_and_what_is_left_out_counted(
    limit, detail, width
) -> None:
    count = limit // (60 + width)
    cells = [replace(f, cell=f.cell + "x" * width) for f in many(count, detail=detail)]
    text = to_markdown(gate(*cells, REGRESSED, exit=1), limit_bytes=limit)
    heading, _, *body = table_of(text)
    (left_out,) = re.findall(r"No room for (\d+) rows", text)

    assert limit * 0.9 < len(text.encode()) < limit
    assert body[0][0] == "hyperlstm"
    assert len(body) + int(left_out) == count + 1
    assert {len(row) for row in body} == {len(heading)}, "whole rows"
    assert "raw values in" in text, "what stands below is kept"
    assert text.endswith("nor a regression.\n"), "to its end"


def test_nothing_is_left_out_where_all_fits() -> None:
    assert "No room" not in to_markdown(gate(*many(200)))


def test_remarks_that_have_no_room_are_counted() -> None:
    told = many(100, detail="x" * 1500)
    told = [replace(f, detail=f"{f.detail}{n}") for n, f in enumerate(told)]
    text = to_comment(gate(*told))
    (left_out,) = re.findall(r"No room for (\d+) remarks", text)

    assert len(table_of(text)) == 102, "rows come first"
    assert len(re.findall("^- ", text, re.MULTILINE)) + int(left_out) == 100


@given(
    limit=st.integers(0, 5000),
    detail=st.text(max_size=300),
    cell=st.text(max_size=80),
    count=st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_below_any_limit_with_any_text(limit, detail, cell, count) -> None:
    found = [*many(count, detail=detail), timed(cell, Verdict.FAILED, detail=detail)]
    text = to_comment(gate(*found, notes=(detail,)), limit_bytes=limit)

    assert len(text.encode()) < max(limit, 1)
