"""Tables for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cellbench.report.columns import COLUMNS, LEGEND, caption, notes, title
from cellbench.report.rows import Row, tables


def print_rows(rows: Sequence[Row], console: Console) -> None:
    """Print a table for each group of comparable rows."""
    for group in tables(rows):
        console.print(_table(group))
        console.print(Text(caption(group), style="dim"))
        for note in notes(group):
            console.print(Text(f"! {note}", style="yellow"))
        console.print()
    console.print(Text(LEGEND, style="dim"))


def _table(group: Sequence[Row]) -> Table:
    heading = Text(title(group), style="bold")
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    for column in COLUMNS:
        if column.right:
            table.add_column(column.heading, justify="right", no_wrap=True)
        else:
            table.add_column(column.heading, overflow="fold", min_width=12)
    for row in group:
        cells = [Text(column.write(row)) for column in COLUMNS]
        if row.failures:
            cells[1].stylize("red")
        elif row.seeds and row.solved == row.seeds:
            cells[2].stylize("green")
        table.add_row(*cells)
    return table
