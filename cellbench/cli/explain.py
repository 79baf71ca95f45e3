"""`cellbench show`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cellbench.catalog import Task


@click.command(name="show")
@click.argument("name")
@click.option(
    "--sequence", type=click.IntRange(0), default=0, show_default=True,
    help="Of a task: which one to draw.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def command(name: str, sequence: int, form: str) -> None:
    """Show what a cell or a task is.

    Of a cell, with options if you like, or FILE.py:CLASS: equations, options, parameters, source,
    and what it was checked against. Of a level, or a task (its first level), or FILE.toml: what is
    asked and how it is scored, and a sequence, drawn.
    """
    from rich.text import Text

    from cellbench.cli.console import out

    task = _task(name)
    parts = _parts(name) if task is None else _parts_of_task(task)
    if form == "json":
        click.echo(json.dumps(dict(parts), indent=2))
        return
    console = out()
    for place, (heading, text) in enumerate(parts):
        if place:
            console.print()
        console.print(Text(heading, style="bold"))
        hanging = " " * (6 if heading in {"Options", "Settings"} else 2)
        for line in _laid_out(text, console.width, hanging):
            console.print(Text(line), soft_wrap=True)
    if task is not None:
        from cellbench.report.tasks import picture

        console.print()
        console.print(Text(f"Sequence {sequence} of the training stream", style="bold"))
        for row in picture(task, sequence, console.width):
            console.print(row, soft_wrap=True)


def _task(name: str) -> Task | None:
    """Return the level that is meant; None if `name` is none of a task.

    Raises:
        UnknownNameError: It looks like a level's, and there is none of that name.
    """
    from cellbench.catalog import load_tasks, resolve

    families = {task.family for task in load_tasks().values()}
    is_level = "/" in name and ".py" not in name
    return resolve(name)[0] if name in families or is_level or ".toml" in name else None


def _parts(name: str) -> list[tuple[str, str]]:
    """Return what there is to say of a cell or a baseline."""
    import inspect

    from cellbench.catalog import load_tasks
    from cellbench.errors import UnknownNameError
    from cellbench.plugins import cell_names
    from cellbench.report.cells import sheet
    from cellbench.train.baselines import BASELINES, BaselineSpec, parse_subject

    try:
        spec = parse_subject(name)
    except UnknownNameError:
        families = {task.family for task in load_tasks().values()}
        known = {*cell_names(), *BASELINES, *families}
        raise UnknownNameError("cell or task", name, known) from None
    if isinstance(spec, BaselineSpec):
        return [(spec.text, inspect.getdoc(spec.baseline) or "")]
    return list(sheet(spec))


def _parts_of_task(task: Task) -> list[tuple[str, str]]:
    from cellbench.report.tasks import sheet

    return list(sheet(task))


def _laid_out(text: str, width: int, hanging: str) -> Iterator[str]:
    """Yield lines: prose filled to the width, what is indented (equations) as it is."""
    from textwrap import wrap

    for line in text.splitlines():
        if line.startswith(" ") or not line:
            yield line
        else:
            yield from wrap(line, width, initial_indent="  ", subsequent_indent=hanging)
