"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cellbench.errors import OptionError
from cellbench.measure.device import choose_device as choose_device  # noqa: PLC0414 -- exported

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("table", "markdown", "json", "csv")
DEFAULT_OUTPUT = Path("results/local")


def format_option(function: F) -> F:
    """Add `--format`."""
    kind = click.Choice(FORMATS, case_sensitive=False)
    option = click.option(
        "--format", "form", type=kind, default="table", show_default=True, help="Of the output."
    )
    return option(function)


def device_option(function: F) -> F:
    """Add `--device`."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        envvar="CELLBENCH_DEVICE",
        help="auto, cpu, cuda, or cuda:N; auto is cuda where there is a GPU.",
    )(function)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read `3` (three seeds, from 0), `0-9`, or `1,4,7`.

    Raises:
        OptionError: It is none of these, no seed, or one twice.
    """
    text = text.strip()
    seeds: list[int] = []
    if re.fullmatch(r"\d+", text):
        seeds = list(range(int(text)))
    elif re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*,?", text):
        for part in text.rstrip(",").split(","):
            low, _, high = part.partition("-")
            seeds += range(int(low), int(high or low) + 1)
    else:
        raise OptionError(
            f"--seeds must be a number of seeds, a range such as 0-9, or a list such as 1,4,7; "
            f"not {text!r}."
        )
    if not seeds:
        raise OptionError(f"--seeds {text} is no seed at all; use at least 1.")
    if len(set(seeds)) != len(seeds):
        raise OptionError(f"--seeds {text} has a seed twice; name each once.")
    if max(seeds) >= 2**32:
        raise OptionError(f"--seeds {text}: a seed is below 2**32.")
    return tuple(seeds)
