"""`cellbench list`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cellbench.cli.options import format_option

Rows = Sequence[Mapping[str, Any]]


@click.command(name="list")
@click.argument("kind", type=click.Choice(["cells", "tasks", "suites"]))
@format_option
def command(kind: str, form: str) -> None:
    """List what can be named: cells, tasks (with their levels), or suites."""
    rows = _rows(kind)
    if form == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    headings = list(rows[0])
    table = [[_text(row[heading]) for heading in headings] for row in rows]
    if form == "csv":
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([headings, *table])
    elif form == "markdown":
        from cellbench.report.markdown import markdown_table

        click.echo("\n".join(markdown_table(headings, table, [False] * len(headings))))
    else:
        _print(headings, table)


def _rows(kind: str) -> Rows:
    if kind == "cells":
        return _cells()
    return _tasks() if kind == "tasks" else _suites()


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print(headings: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from cellbench.cli.console import out

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        shown.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for line in table:
        shown.add_row(*map(Text, line))
    out().print(shown)


def _cells() -> Rows:
    from cellbench.cells import CELLS
    from cellbench.cells.base import ParallelCell
    from cellbench.plugins import cell_names

    rows = []
    for name in cell_names():
        cell = CELLS.get(name)
        if cell is None:
            rows.append({"id": name, "summary": "from an installed package", "form": "?"})
            continue
        kind = cell if isinstance(cell, type) else type(cell(3, 4))
        form = "parallel" if issubclass(kind, ParallelCell) else "stepwise"
        summary = (cell.__doc__ or "").strip().splitlines()[0]
        rows.append({"id": name, "summary": summary, "form": form})
    return rows


def _tasks() -> Rows:
    from cellbench.catalog import load_tasks
    from cellbench.report.numbers import mark

    return [
        {
            "id": task.id,
            "without memory": f"{task.trivial:.4g}",
            "solved": mark(task.metric, task.solved),
            "steps": task.budget.steps,
            "summary": task.summary,
        }
        for task in load_tasks().values()
    ]


def _suites() -> Rows:
    from cellbench.catalog import load_suites

    return [
        {"id": suite.name, "summary": suite.summary, "levels": list(suite.levels)}
        for suite in load_suites().values()
    ]
