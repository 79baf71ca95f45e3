"""Printing rows in the format that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cellbench.cli.console import out
from cellbench.report.rows import Row


def show_rows(rows: Sequence[Row], form: str) -> None:
    """Print `rows` to standard output as a table, Markdown, JSON or CSV."""
    if form == "table":
        from cellbench.report.terminal import print_rows

        print_rows(rows, out())
        return
    from cellbench.report.data import to_csv, to_json
    from cellbench.report.markdown import to_markdown

    write = {"markdown": to_markdown, "json": to_json, "csv": to_csv}[form]
    click.echo(write(rows))
