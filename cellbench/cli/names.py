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
    if form == "table" and kind != "suites":
        (_print_families if kind == "cells" else _print_tasks)(rows)
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
    from cellbench.train.baselines import BASELINES

    rows = [msgspec.to_builtins(one) for one in cards()]
    blank = dict.fromkeys(rows[0], "")
    others = (name for name in cell_names() if name not in CELLS)
    summary = "from an installed package; imported when it is used"
    ours = (
        blank | {"id": name, "family": "Baselines", "summary": (kind.__doc__ or "").split("\n")[0]}
        for name, kind in BASELINES.items()
    )
    found = [blank | {"id": name, "summary": summary} for name in others]
    return [*rows, *ours, *found]


def _tasks() -> Rows:
    import msgspec

    from cellbench.report.tasks import cards

    return [msgspec.to_builtins(one) for one in cards()]


def _print_tasks(rows: Rows) -> None:
    """Print levels under the names of their families."""
    from itertools import groupby

    from rich.text import Text

    from cellbench.cli.console import out

    headings = ["id", "without memory", "solved", "steps", "ladder"]
    for family, members in groupby(rows, key=lambda row: row["family"]):
        levels = list(members)
        out().print(Text(family, style="bold"), Text(levels[0]["summary"]))
        out().print(Text(levels[0]["source"], style="dim"))
        _print(headings, [[_of_level(row, heading) for heading in headings] for row in levels])
    families = len({row["family"] for row in rows})
    told = "`cellbench show TASK` draws a sequence; ladder: the longest length it is tested at."
    out().print(Text(f"{families} tasks, {len(rows)} levels. {told}"))


def _of_level(row: Mapping[str, Any], heading: str) -> str:
    if heading == "ladder":
        return str(max(row["ladder"])) if row["ladder"] else "–"
    return _text(row[heading])


def _suites() -> Rows:
    from cellbench.catalog import load_suites

    return [
        {"id": suite.name, "summary": suite.summary, "levels": list(suite.levels)}
        for suite in load_suites().values()
    ]
