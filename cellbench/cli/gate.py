"""`cellbench gate`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cellbench.cli.gate_options import gate_options


@click.command(name="gate")
@click.option("--base", metavar="REV", help="Compare with where this branch left REV.")
@click.option(
    "--head", metavar="REV", help="Gate that revision; by default the files as they are now."
)
@click.option(
    "--baseline", type=click.Path(path_type=Path), metavar="FILE", envvar="CELLBENCH_BASELINE",
    help="Compare with what was stored there, instead of --base: a weaker promise.",
)  # fmt: skip
@click.option(
    "--save-baseline", type=click.Path(path_type=Path), metavar="FILE",
    help="Measure this commit alone, and store it for --baseline.",
)  # fmt: skip
@gate_options
@click.option("--margin", default="3%", show_default=True, help="Smallest change that matters.")
@click.option(
    "--level", default="copying/tiny", show_default=True,
    help='What cells learn where their first losses differ; "" for nothing.',
)  # fmt: skip
@click.option(
    "--seeds", default="10", show_default=True, envvar="CELLBENCH_SEEDS", help="For that."
)
@click.option(
    "--accept", multiple=True, metavar="CELL:METRIC",
    help='A change that is meant, such as "lstm:outputs"; * for all.',
)  # fmt: skip
@click.option(
    "--fail-on", type=click.Choice(["inconclusive"]), multiple=True, help="Exit 3 if any is."
)
@click.option("--time-limit", type=float, metavar="S", help="Begin no launch after that.")
@click.option(
    "--format", "form", type=click.Choice(["table", "markdown", "json"]), default="table",
    show_default=True, help="Of the output.",
)  # fmt: skip
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Also as JUnit.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Also as JSON.")
@click.option(
    "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Also as Markdown."
)
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Tell whether a change made cells slower, larger, or worse at learning.

    Both versions are timed side by side in fresh processes. Exit code 1: worse; 3: cannot tell
    (with --fail-on); 4: a cell failed or is missing; 5: nothing measured or no base; 6: another
    machine.
    """
    from cellbench.cli.gating import Asked, gate

    ctx.exit(gate(Asked(**given)))
