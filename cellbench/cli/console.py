"""Consoles: results on standard output, everything else on standard error."""

from __future__ import annotations

import shutil
import sys

from rich.console import Console

PIPE_WIDTH = 100
"""Columns where nobody tells how wide a line may be."""


class _Console(Console):
    """Leaves it to the command line to say what a reader who stopped reading means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def out() -> Console:
    """Return the console for results. Honours NO_COLOR, FORCE_COLOR and COLUMNS."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console for progress and remarks."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
    return _Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)
