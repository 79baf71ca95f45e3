"""`cellbench perf`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cellbench.cli.options import DEFAULT_OUTPUT, device_option, format_option


@click.command(name="perf")
@click.option(
    "--cells", default="lstm,hyperlstm", show_default=True,
    help="Names, FILE.py:CLASS, or package.module:CLASS; options in parentheses.",
)  # fmt: skip
@click.option(
    "--time", "times", default="32,128,512", show_default=True, metavar="LIST",
    help="Steps of a sequence.",
)  # fmt: skip
@click.option(
    "--batch", "batches", default="16", show_default=True, metavar="LIST",
    help="Sequences at once.",
)  # fmt: skip
@click.option(
    "--hidden", "hiddens", default="64", show_default=True, metavar="LIST",
    help="Features of input and output.",
)  # fmt: skip
@click.option(
    "--unroll", type=click.Choice(["auto", "stepwise", "compiled", "parallel"]), default="auto",
    show_default=True, help="How cells are carried through time.",
)  # fmt: skip
@device_option
@click.option(
    "--dtype", type=click.Choice(["float32", "float64", "bfloat16"]), default="float32",
    show_default=True, help="Of parameters and inputs.",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True,
    help="CPU threads while timing.",
)  # fmt: skip
@click.option(
    "--time-limit", type=float, default=900.0, show_default=True, metavar="S",
    help="Most seconds for one cell at one size.",
)  # fmt: skip
@click.option("--remeasure", is_flag=True, help="Time again what was timed before.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=DEFAULT_OUTPUT, show_default=True,
    envvar="CELLBENCH_OUTPUT", help="Folder for the results.",
)  # fmt: skip
@format_option
@click.option("--plot/--no-plot", default=True, show_default=True, help="Draw time against size.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Time cells by themselves at many sizes; print tables, exponents and plots.

    Every cell at every size of the LISTs (128,512,2048), one at a time, alone in a process:
    a train step, inference over whole sequences, one step. Each result is on disk as soon as it
    exists; the same command again does only what is missing.
    """
    from cellbench.cli.timing import Asked, perf

    ctx.exit(perf(Asked(**given)))
