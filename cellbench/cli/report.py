"""`cellbench report`."""

from __future__ import annotations

from pathlib import Path

import click

from cellbench.cli.options import DEFAULT_OUTPUT, format_option


@click.command(name="report")
@click.argument("results", nargs=-1, type=click.Path(path_type=Path), envvar="CELLBENCH_OUTPUT")
@format_option
def command(results: tuple[Path, ...], form: str) -> None:
    """Print the table of the RESULTS: folders that `run` wrote to, or .jsonl files.

    Several are read as one. By default, results/local.
    """
    from cellbench.cli.show import show_rows
    from cellbench.report.rows import make_rows
    from cellbench.store.folder import read_lines

    lines = [line for path in results or (DEFAULT_OUTPUT,) for line in read_lines(path)]
    show_rows(make_rows(lines), form)
