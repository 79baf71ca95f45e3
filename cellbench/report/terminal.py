"""Tables for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cellbench.report.columns import LEGEND, Column, caption, columns_of, notes, title
from cellbench.report.rows import Row, tables

NARROWEST_CELL = 12
"""Columns that a cell's name has at least."""


def print_rows(rows: Sequence[Row], console: Console) -> None:
    """Print a table for each group of comparable rows."""
    for group in tables(rows):
        columns = _that_fit(group, console.width)
        console.print(_table(group, columns))
        console.print(Text(caption(group), style="dim"))
        for note in notes(group):
            console.print(Text(f"! {note}", style="yellow"))
        every = columns_of(group)
        if len(columns) < len(every):
            missing = ", ".join(column.heading for column in every[len(columns) :])
            console.print(Text(f"! no room for {missing}; widen the terminal", style="yellow"))
        console.print()
    console.print(Text(LEGEND, style="dim"))


def _that_fit(group: Sequence[Row], width: int) -> tuple[Column, ...]:
    """Return as many columns, from the left, as can stand beside the cells' names."""
    room = width - NARROWEST_CELL - 2  # the edges
    every = columns_of(group)
    for place, column in enumerate(every[1:], start=1):
        room -= 1 + max(len(column.heading), *(len(column.write(row)) for row in group))
        if room < 0:
            return every[:place]
    return every


def _table(group: Sequence[Row], columns: Sequence[Column]) -> Table:
    heading = Text(title(group), style="bold")
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    for column in columns:
        if column.right:
            table.add_column(column.heading, justify="right", no_wrap=True)
        else:
            table.add_column(column.heading, overflow="fold", min_width=NARROWEST_CELL)
    for row in group:
        style = "red" if row.failures else ""
        table.add_row(*(Text(column.write(row)) for column in columns), style=style)
    return table
