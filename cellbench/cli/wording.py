"""What a run's units, stacks, looks and times are called while it goes on."""

from __future__ import annotations

from cellbench.record import Point
from cellbench.sweep.plan import Job, Stack, Unit
from cellbench.sweep.time_left import TimeLeft

MINUTE_S, HOUR_S = 60, 3600

LONG_S = 90 * MINUTE_S
"""From here on, times are told in hours."""


def of_job(job: Job) -> str:
    """Name a job; of a grid, with its learning rate."""
    rate = job.settings.learning_rate
    return f"{job.spec.text} @ {job.task.id}" + (f" lr {rate:g}" if rate else "")


def of_unit(unit: Unit) -> str:
    """Name a unit."""
    return f"{of_job(unit.job)} seed {unit.seed}"


def of_stack(stack: Stack) -> str:
    """Name a stack: a unit, or how many seeds."""
    if len(stack.units) == 1:
        return of_unit(stack.units[0])
    return f"{of_job(stack.job)} {len(stack.units)} seeds"


def shortened(name: str, width: int) -> str:
    """Return `name` in at most `width` columns: its middle goes first."""
    if len(name) <= width:
        return name
    tail = min(width // 3, 10)
    return f"{name[: width - tail - 1]}…{name[len(name) - tail :]}"


def seen(unit: Unit, point: Point) -> str:
    """Say what a look at validation found."""
    value = "not finite" if point.metric is None else f"{point.metric:.4g}"
    return f"{unit.job.task.metric} {value}"


def of_time(left: TimeLeft | None) -> str:
    """Say how long it will still take; nothing where nobody knows.

    An estimate, hence `~`; and `up to`, because trials may stop before their last step.
    """
    if left is None:
        return ""
    if left.high_s < MINUTE_S:
        return "under 1 min left"
    size, unit, digits = (HOUR_S, "h", ".1f") if left.high_s >= LONG_S else (MINUTE_S, "min", ".0f")
    high = f"{left.high_s / size:{digits}}"
    if left.low_s is None:
        return f"up to ~{high} {unit} left"
    low = f"{left.low_s / size:{digits}}"
    return f"~{high} {unit} left" if low == high else f"~{low}–{high} {unit} left"
