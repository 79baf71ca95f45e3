"""A gate's answer as Markdown: for a job's summary page, and for a comment on a pull request.

Both have a largest size, and what is above it is not cut but refused: so rows are left out here,
the least bad first, and it is said how many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cellbench.report import gate_rows as rows
from cellbench.report.gate_noise import noise
from cellbench.report.gate_terminal import HEADINGS, LEGEND, line
from cellbench.verdicts import GateReport

SUMMARY_BYTES = 1024 * 1024
"""A step's summary on GitHub is below this."""

COMMENT_BYTES = 64 * 1024
"""A comment is below this."""

MARKER = "<!-- cellbench gate -->"
"""First line of a comment, hidden: by it the comment of an earlier gate is found and replaced."""

LONGEST_LINE = 2000
"""Characters of one remark: a traceback in one line must not push the table out."""

REMARKS_SHARE = 0.25
"""Of the room, for remarks, where not everything fits; the rest is for the table."""

LEFT = {"cell", "metric", "verdict"}


def to_markdown(report: GateReport, *, limit_bytes: int = SUMMARY_BYTES, marker: str = "") -> str:
    """Return Markdown of less than `limit_bytes` in UTF-8.

    Args:
        report: What the gate found.
        limit_bytes: See `SUMMARY_BYTES` and `COMMENT_BYTES`.
        marker: A first line that nobody sees.
    """
    above = [*([marker] if marker else []), f"**{clipped(rows.answer(report))}**", ""]
    above += [clipped(rows.sides(report)), ""]
    below = [clipped(text) for text in _facts(report)]
    room = limit_bytes - 1 - _size([*above, "", *below, *_left_out(10**9, 10**9), "", "", ""])
    body = [_row(line(finding)) for finding in rows.listed(report)]
    heading = _heading() if body else []
    said = [f"- {clipped(remark)}" for remark in rows.remarks(report)]
    beside = room - _size([*heading, *body])
    told = _that_fit(said, max(beside, int(room * REMARKS_SHARE)))
    shown = _that_fit(body, room - _size([*heading, *told]))
    table = [*heading, *shown, ""] if shown else []
    omitted = _left_out(len(body) - len(shown), len(said) - len(told))
    lines = [*above, *table, *told, *omitted, *([""] if told or omitted else []), *below]
    return _at_most("\n".join(lines), limit_bytes - 1)


def to_comment(report: GateReport, *, limit_bytes: int = COMMENT_BYTES) -> str:
    """Return the same for a comment that replaces the one of an earlier gate."""
    return to_markdown(report, limit_bytes=limit_bytes, marker=MARKER)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in a table too, and that calls for nobody.

    A space of no width behind @ and # keeps GitHub from notifying people and linking issues; a
    backslash would not, since names are looked for in what Markdown has made of it.
    """
    text = rows.one_line(text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]|~$])", r"\\\1", text)
    text = re.sub(r"([@#])(?=\w)", "\\1\u200b", text)
    return re.sub(r"(?i)\b(gh-)(?=\d)|(://|\bwww\.)", "\\1\\2\u200b", text)


def clipped(text: str) -> str:
    """Return `text` escaped, its end left out if it is very long."""
    whole = rows.one_line(text)
    return escaped(whole if len(whole) <= LONGEST_LINE else f"{whole[: LONGEST_LINE - 1]}…")


def _facts(report: GateReport) -> Iterator[str]:
    """Yield what is true of the whole gate, a paragraph each."""
    count = rows.counted(report)
    if count and count not in rows.answer(report):
        yield f"{count}."
        yield ""
    for text in (rows.control(report), "; ".join(noise(report)), rows.ending(report), LEGEND):
        yield text
        yield ""


def _heading() -> list[str]:
    rule = [" --- " if heading in LEFT else " ---: " for heading in HEADINGS]
    return [_row(HEADINGS), "|" + "|".join(rule) + "|"]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(clipped(cell) for cell in cells) + " |"


def _left_out(row_count: int, remark_count: int) -> list[str]:
    """Say what had no room."""
    parts = [
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((row_count, "row"), (remark_count, "remark"))
        if count
    ]
    if not parts:
        return []
    return ["", f"No room for {' and '.join(parts)}, the least bad; they are in the JSON report."]


def _that_fit(lines: Sequence[str], room: int) -> list[str]:
    """Return as many lines, from the first, as have less than `room` bytes together."""
    for count, text in enumerate(lines):
        room -= _size([text])
        if room < 0:
            return list(lines[:count])
    return list(lines)


def _size(lines: Sequence[str]) -> int:
    return sum(len(text.encode()) + 1 for text in lines)


def _at_most(text: str, room: int) -> str:
    """Cut what even without rows has no room, between two characters."""
    return text.encode()[: max(room, 0)].decode(errors="ignore")
