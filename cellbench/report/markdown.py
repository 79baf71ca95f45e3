"""Tables for pull requests and READMEs."""

from __future__ import annotations

from collections.abc import Sequence

from cellbench.report.columns import COLUMNS, LEGEND, caption, notes, title
from cellbench.report.rows import Row, tables


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a Markdown table for each group of comparable rows."""
    parts = []
    for group in tables(rows):
        parts += [f"**{title(group)}**", "", *_table(group), "", caption(group), ""]
        parts += [f"- {note}" for note in notes(group)]
        parts += [""] if notes(group) else []
    return "\n".join([*parts, LEGEND])


def _table(group: Sequence[Row]) -> list[str]:
    head = "| " + " | ".join(column.heading for column in COLUMNS) + " |"
    rule = "|" + "|".join(" ---: " if column.right else " --- " for column in COLUMNS) + "|"
    body = [
        "| " + " | ".join(column.write(row).replace("|", "\\|") for column in COLUMNS) + " |"
        for row in group
    ]
    return [head, rule, *body]
