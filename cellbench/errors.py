"""Every error that cellbench raises on purpose.

CellbenchError              exit code
├── UnknownNameError            2  a cell, task, suite or level that is in no table
├── OptionError                 2  a value that a cell, generator or command cannot take
├── TaskFileError               2  a task file that cannot be read as a task
├── PluginError                 2  a cell or generator from elsewhere that cannot be used
├── DeviceError                 2  a device that this machine does not have
├── StoreError                  2  results that are damaged, newer, or cannot be written
├── NothingMeasuredError        5  no record to report or judge
└── IncomparableError           6  two records whose machines may not be compared
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable
from typing import ClassVar


class Exit(enum.IntEnum):
    """Exit codes; scripts rely on them."""

    OK = 0
    REGRESSED = 1
    USAGE = 2  # click's own
    INCONCLUSIVE = 3  # only with --fail-on inconclusive
    FAILED = 4  # a cell crashed, ran out of memory or time, or made NaN
    NOTHING = 5  # nothing was measured, or there is no baseline
    INCOMPARABLE = 6  # the two sides ran on machines that may not be compared
    INTERRUPTED = 130
    UNREAD = 141  # who read the output stopped reading, as in `cellbench report | head`


class CellbenchError(Exception):
    """Base class: catch this to catch them all. The CLI prints it without a traceback."""

    exit: ClassVar[Exit] = Exit.USAGE


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `known`, or "." when none is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else "."


def _lists(kind: str) -> str:
    """Say where all names of a kind, or of one of several, are."""
    kinds = kind.split(" or ")
    listed = " and ".join(f"`cellbench list {one}s`" for one in kinds)
    return f"{listed} show{'' if len(kinds) > 1 else 's'}"


class UnknownNameError(CellbenchError):
    """A name that is in no table."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(
            f"There is no {kind} named {name!r}{did_you_mean(name, names)} "
            f"{_lists(kind)} all {len(names)}."
        )


class OptionError(CellbenchError, ValueError):
    """A value that a cell, generator or command cannot take."""


class TaskFileError(CellbenchError):
    """A task file that cannot be read as a task."""


class PluginError(CellbenchError):
    """A cell or generator from elsewhere that cannot be used."""


class DeviceError(CellbenchError):
    """A device that this machine does not have."""


class StoreError(CellbenchError):
    """Results that are damaged, written by a newer cellbench, or cannot be written."""


class NothingMeasuredError(CellbenchError):
    """No record to report or judge: never a success."""

    exit = Exit.NOTHING


class IncomparableError(CellbenchError):
    """Two records whose machines may not be compared."""

    exit = Exit.INCOMPARABLE
