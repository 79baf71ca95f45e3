"""A history for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cellbench.report.history_columns import ASCII_FOR, COLUMNS, LEGEND, sentences, tables, title
from cellbench.report.history_rows import Series
from cellbench.report.sparkline import sparkline

WIDEST_SPARKLINE, NARROWEST_SPARKLINE = 40, 8
WIDEST = {"cell": 24, "metric": 16}
"""Columns of a name; the rest of a longer one stands below."""


def print_history(found: Sequence[Series], console: Console) -> None:
    """Print a table for each machine, branch and setting, and what was found below it."""
    ascii_only = console.options.ascii_only

    def text(line: str, style: str = "") -> Text:
        return Text(line.translate(ASCII_FOR) if ascii_only else line, style=style)

    for group in tables(found):
        console.print(text(title(group, found), "bold"))
        console.print(_table(group, console.width, ascii_only=ascii_only))
        for line in sentences(group):
            console.print(text(line, "red" if line.endswith("for the worse") else ""))
        console.print()
    console.print(text(LEGEND, "dim"))


def _table(group: Sequence[Series], width: int, *, ascii_only: bool) -> Table:
    rows = [{name: write(series) for name, write in COLUMNS.items()} for series in group]
    if ascii_only:
        rows = [{name: text.translate(ASCII_FOR) for name, text in row.items()} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in COLUMNS}
    widths |= {name: min(widths[name], most) for name, most in WIDEST.items()}
    room = width - sum(widths.values()) - len(COLUMNS) - 2  # a space between, and the edges
    room = max(min(room, WIDEST_SPARKLINE), NARROWEST_SPARKLINE)
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    for name, most in WIDEST.items():
        table.add_column(name, overflow="fold", max_width=most)
    table.add_column(f"last {room}", no_wrap=True)
    for name in list(COLUMNS)[2:]:
        table.add_column(name, justify="right", no_wrap=True)
    for series, row in zip(group, rows, strict=True):
        cells = list(row.values())
        drawn = sparkline(series.numbers, width=room, ascii_only=ascii_only)
        table.add_row(*map(Text, [*cells[:2], drawn, *cells[2:]]))
    return table
