"""`cellbench history`: its subcommands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cellbench.cli.options import F, format_option

HISTORY = Path("results/history.jsonl")


def _history_option(function: F) -> F:
    return click.option(
        "--history", "path", type=click.Path(path_type=Path), default=HISTORY, show_default=True,
        envvar="CELLBENCH_HISTORY", help="The file.",
    )(function)  # fmt: skip


@click.group(name="history")
def command() -> None:
    """Keep what gates and runs measured, commit by commit; find changes, and who made them.

    \b
    cellbench history append results/gate.json
    cellbench history show --fail-on change
    cellbench history bisect --good v1.2 --bad main --cell lstm --metric train_step
    """  # noqa: D301 -- click's mark for lines to leave as they are


@command.command(name="append")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@_history_option
@click.option(
    "--reference", metavar="CELL",
    help="Times are divided by this cell's. By default the gate's control, or lstm.",
)  # fmt: skip
@click.option("--branch", help="That the commits are on. By default, the one checked out.")
@click.option("--allow-dirty", is_flag=True, help="Take runs of files that were not committed.")
def append_command(**given: Any) -> None:
    """Append what SOURCES measured: results folders, journals, or gates' reports in JSON.

    What is there already is not appended again.
    """
    from cellbench.cli.history_append import append

    append(**given)


@command.command(name="show")
@_history_option
@click.option("--cells", metavar="LIST", help="Only these.")
@click.option("--metrics", metavar="LIST", help="Only these: train_step, inference, ...")
@click.option("--since", metavar="REV", help="Only this commit and those after it.")
@click.option("--branch", help="Only commits on it.")
@format_option
@click.option(
    "--min-points", type=click.IntRange(4), default=20, show_default=True,
    help="Commits before a change is looked for.",
)  # fmt: skip
@click.option(
    "--min-change", default="3%", show_default=True, metavar="SHARE", help="Smaller ones are none."
)
@click.option(
    "--fail-on", type=click.Choice(["change", "inconclusive"]),
    help="change: exit 1 if a series' newest one is for the worse. inconclusive: besides, exit 3 "
    "if a series cannot be judged.",
)  # fmt: skip
@click.option(
    "--recent", type=click.IntRange(1), default=30, show_default=True, metavar="N",
    help="Commits whose changes count for --fail-on.",
)  # fmt: skip
@click.pass_context
def show_command(ctx: click.Context, /, **given: Any) -> None:
    """Print a row a series: sparkline, last value, and where it changed."""
    from cellbench.cli.history_show import Asked, show

    ctx.exit(show(Asked(**given)))


@command.command(name="acknowledge")
@click.argument("commit")
@click.argument("cell")
@click.argument("metric")
@click.option("--reason", required=True, help="Why it is meant to be.")
@_history_option
def acknowledge_command(**given: Any) -> None:
    """Say that a change for the worse at COMMIT is meant to be, in a file beside the history."""
    from cellbench.cli.history_show import write_acknowledgement

    write_acknowledgement(**given)


@command.command(name="bisect")
@click.option("--good", required=True, metavar="REV", help="Before it became worse.")
@click.option("--bad", default="HEAD", show_default=True, metavar="REV", help="After.")
@click.option("--cell", required=True, help="That became worse.")
@click.option("--metric", required=True, help="In which: train_step, inference, ...")
@click.option(
    "--threshold", metavar="SHARE",
    help="Smaller regressions than this are none: 5%. By default, all that the gate finds.",
)  # fmt: skip
@click.pass_context
def bisect_command(ctx: click.Context, /, **given: Any) -> None:
    """Find the commit that made a cell worse, with a gate for every halving."""
    from cellbench.cli.history_bisect import find

    ctx.exit(find(**given))
