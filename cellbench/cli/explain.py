"""`cellbench show`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click


@click.command(name="show")
@click.argument("cell")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def command(cell: str, form: str) -> None:
    """Show what CELL is: equations, options, parameters, source, what it was checked against.

    CELL is a name, with options if you like, or FILE.py:CLASS.
    """
    from rich.text import Text

    from cellbench.cli.console import out
    from cellbench.plugins import parse_cell
    from cellbench.report.cells import sheet

    parts = list(sheet(parse_cell(cell)))
    if form == "json":
        click.echo(json.dumps(dict(parts), indent=2))
        return
    console = out()
    for place, (heading, text) in enumerate(parts):
        if place:
            console.print()
        console.print(Text(heading, style="bold"))
        hanging = " " * (6 if heading == "Options" else 2)
        for line in _laid_out(text, console.width, hanging):
            console.print(Text(line), soft_wrap=True)


def _laid_out(text: str, width: int, hanging: str) -> Iterator[str]:
    """Yield lines: prose filled to the width, what is indented (equations) as it is."""
    from textwrap import wrap

    for line in text.splitlines():
        if line.startswith(" ") or not line:
            yield line
        else:
            yield from wrap(line, width, initial_indent="  ", subsequent_indent=hanging)
