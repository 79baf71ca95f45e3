"""`cellbench run`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cellbench.cli.options import DEFAULT_OUTPUT, device_option, format_option


@click.command(name="run")
@click.option(
    "--cells", default="lstm,hyperlstm", show_default=True,
    help="Names, FILE.py:CLASS, or package.module:CLASS; options in parentheses.",
)  # fmt: skip
@click.option("--tasks", default="", help="Levels, task names, patterns, or FILE.toml.")
@click.option("--suite", default="", help="A named list of levels; quick if no --tasks are given.")
@click.option(
    "--seeds", default="3", show_default=True, envvar="CELLBENCH_SEEDS",
    help="How many, or which: 5, 0-9, 1,4,7.",
)  # fmt: skip
@device_option
@click.option(
    "-j", "--jobs", type=click.IntRange(1), metavar="N",
    help="Worker processes; by default one a CPU, or what a GPU's memory allows.",
)  # fmt: skip
@click.option(
    "--stack", default="auto", show_default=True, metavar="N",
    help="Seeds of a cell that a worker trains at once, as one model; 1: one by one.",
)  # fmt: skip
@click.option("--hidden", type=click.IntRange(1), default=64, show_default=True, help="Cell width.")
@click.option(
    "--match", type=click.Choice(["params", "state", "operations"]),
    help="Give each cell the width at which it has as much of it as lstm with --hidden.",
)  # fmt: skip
@click.option(
    "--depth", type=click.IntRange(1), default=1, show_default=True, help="Cells in a row."
)
@click.option(
    "--block", type=click.Choice(["plain", "residual"]), default="plain", show_default=True,
    help="What cells stand in; residual: pre-norm, with a feed-forward part.",
)  # fmt: skip
@click.option("--dropout", type=float, default=0.0, show_default=True, help="Between cells.")
@click.option(
    "--bidirectional", is_flag=True, help="Read from both ends, where a level asks at the end only."
)
@click.option("--steps", type=click.IntRange(1), help="Cap on the training steps of a trial.")
@click.option("--time-limit", type=float, metavar="S", help="Most seconds of training a trial.")
@click.option(
    "--lr-grid", default="", metavar="RATES",
    help="Learning rates to choose from on validation: 1e-4,1e-3,1e-2, or LOW:HIGH:HOW_MANY.",
)  # fmt: skip
@click.option(
    "--unroll", type=click.Choice(["auto", "stepwise", "compiled", "parallel"]), default="auto",
    show_default=True, help="How cells are carried through time.",
)  # fmt: skip
@click.option(
    "--checkpoint", is_flag=True,
    help="For very long sequences: memory with the square root of time, for more time.",
)  # fmt: skip
@click.option(
    "--resume/--fresh", default=True, show_default=True,
    help="Do only what is missing, or everything again; nothing is deleted either way.",
)  # fmt: skip
@click.option("--remeasure", is_flag=True, help="Measure again, without training again.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=DEFAULT_OUTPUT, show_default=True,
    envvar="CELLBENCH_OUTPUT", help="Folder for the results.",
)  # fmt: skip
@format_option
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
@click.option("-v", "--verbose", is_flag=True, help="A line for every look at validation.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Train and measure cells on tasks; print a table.

    Every result is on disk as soon as it exists; the same command again does only what is missing.
    """
    from cellbench.cli.running import Asked, run

    ctx.exit(run(Asked(**given)))
