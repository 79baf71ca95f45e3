"""What the workers of a run tell, while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from cellbench.record import Measurement, Point, Trial
from cellbench.sweep.plan import Job, Stack, Unit

Work = Stack | Job
"""What a worker is handed at a time: units to train, or a job to measure."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker began."""

    work: Work


@dataclass(frozen=True, slots=True)
class Looked:
    """A unit looked at validation."""

    work: Unit
    point: Point


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit or a job has its record, and the record is kept."""

    work: Unit | Job
    record: Trial | Measurement


@dataclass(frozen=True, slots=True)
class Returned:
    """A stack ended before all of its units had; the others are to be trained differently.

    Attributes:
        work: The stack.
        instead: What its unfinished units are to be trained as; next.
        why: What happened, in one line.
        needs_all: Whether they need all of the device's memory.
    """

    work: Stack
    instead: tuple[Stack, ...]
    why: str
    needs_all: bool = False


Event = Started | Looked | Finished | Returned
