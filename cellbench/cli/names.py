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
    if form == "table" and kind == "cells":
        _print_families(rows)
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


def _print_families(rows: Rows) -> None:
    """Print cells under the names of their families, as narrow as a terminal."""
    from itertools import groupby

    from rich.text import Text

    from cellbench.cli.console import out

    for family, members in groupby(rows, key=lambda row: row["family"]):
        out().print(Text(family or "From installed packages", style="bold"))
        _print(
            ["id", "form", "year", "paper"],
            [
                [row["id"], row["form"], str(row["year"]), row["paper"] or row["summary"]]
                for row in members
            ],
        )
    out().print(Text("`cellbench show NAME` has equations, options and what it was held to."))


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
    import msgspec

    from cellbench.cells import CELLS
    from cellbench.plugins import cell_names
    from cellbench.report.cells import cards

    rows = [msgspec.to_builtins(one) for one in cards()]
    blank = dict.fromkeys(rows[0], "")
    others = (name for name in cell_names() if name not in CELLS)
    summary = "from an installed package; imported when it is used"
    return [*rows, *(blank | {"id": name, "summary": summary} for name in others)]


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
