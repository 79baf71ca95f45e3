"""Options that `gate` and `calibrate` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cellbench.cli.options import device_option
from cellbench.regress.plan import CELLS, CONTROL

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = (
    click.option("--cells", default=CELLS, show_default=True),
    click.option(
        "--control", default=CONTROL, show_default=True,
        help='What is the same on both sides; "" for nothing.',
    ),
    click.option(
        "--metrics", default="train_step,inference", show_default=True,
        help="Of train_step, inference, streaming.",
    ),
    click.option(
        "--launches", type=click.IntRange(5), default=8, show_default=True,
        help="Pairs of fresh processes; as many again to confirm.",
    ),
    click.option(
        "--rounds", type=click.IntRange(4), default=16, show_default=True,
        help="Pairs of timed blocks in each.",
    ),
    click.option("--time", type=click.IntRange(1), default=24, show_default=True, help="Steps."),
    click.option(
        "--batch", type=click.IntRange(1), default=8, show_default=True, help="Sequences."
    ),
    click.option(
        "--hidden", type=click.IntRange(1), default=64, show_default=True, help="Cell width."
    ),
    click.option(
        "--unroll", type=click.Choice(["auto", "stepwise", "compiled", "parallel"]),
        default="auto", show_default=True, help="How cells are carried through time.",
    ),
    click.option(
        "--noise", type=click.Path(path_type=Path), default=Path("results/local-noise.json"),
        show_default=True, help="What `cellbench calibrate` found of this machine.",
    ),
    click.option(
        "-o", "--output", type=click.Path(path_type=Path), default=Path("results/local-gate"),
        show_default=True, help="Folder for raw values.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress, only the result."),
)  # fmt: skip


def gate_options(function: F) -> F:
    """Add the options that both commands have."""
    for option in reversed(OPTIONS):
        function = option(function)
    return device_option(function)
