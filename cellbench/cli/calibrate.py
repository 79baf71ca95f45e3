"""`cellbench calibrate`."""

from __future__ import annotations

from typing import Any

import click

from cellbench.cli.gate_options import gate_options


@click.command(name="calibrate")
@gate_options
@click.option(
    "--pairs", type=click.IntRange(8), default=24, show_default=True,
    help="Launches of this code against itself, of which gates are resampled.",
)  # fmt: skip
@click.option("--margin", default="3%", show_default=True, help="As gates will have it.")
def command(**given: Any) -> None:
    """Measure how well a gate can tell here: noise floors, false alarms, what can be detected.

    Compares this code with itself, in as many launches as --pairs, and resamples whole gates of
    --launches from them.
    """
    from cellbench.cli.calibrating import calibrate

    pairs, margin = given.pop("pairs"), given.pop("margin")
    calibrate(given, pairs=pairs, margin=margin)
