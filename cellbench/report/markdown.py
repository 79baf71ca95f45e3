"""Tables for pull requests and READMEs."""

from __future__ import annotations

from collections.abc import Sequence

from cellbench.report.columns import LEGEND, caption, columns_of, notes, title
from cellbench.report.rows import Row, tables


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a Markdown table for each group of comparable rows."""
    parts = []
    for group in tables(rows):
        parts += [f"**{title(group)}**", "", *_table(group), "", caption(group), ""]
        parts += [f"- {note}" for note in notes(group)]
        parts += [""] if notes(group) else []
    return "\n".join([*parts, LEGEND])


def markdown_table(
    headings: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[bool]
) -> list[str]:
    """Return the lines of a Markdown table.

    Args:
        headings: Of the columns.
        body: The text of every cell, row by row.
        right: Which columns stand to the right.
    """
    rule = [" ---: " if at_right else " --- " for at_right in right]
    return [_line(headings), "|" + "|".join(rule) + "|", *map(_line, body)]


def _table(group: Sequence[Row]) -> list[str]:
    columns = columns_of(group)
    return markdown_table(
        [column.heading for column in columns],
        [[column.write(row) for column in columns] for row in group],
        [column.right for column in columns],
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
