"""The tables of `cellbench perf`, as text: what each says, not how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cellbench.record import COSTS, Cost, Status
from cellbench.report.numbers import short
from cellbench.report.perf_numbers import NONE, digits, exponent, share
from cellbench.report.perf_rows import SpeedRow
from cellbench.report.perf_scaling import AXES, Scaling

MILLI, MICRO = 1e3, 1e6


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table.

    Attributes:
        title: Stands above.
        headings: Of the columns; a newline where a heading may break.
        left: Which columns stand to the left; all others hold numbers.
        body: The text of every cell, row by row.
        failed: Which rows tell of a failure.
    """

    title: str
    headings: tuple[str, ...]
    left: frozenset[str]
    body: tuple[tuple[str, ...], ...]
    failed: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and what stands under it."""

    heading: str
    write: Callable[[SpeedRow], str]


NAMES = (
    Column("T", lambda row: str(row.speed.sizes.time)),
    Column("B", lambda row: str(row.speed.sizes.batch)),
    Column("H", lambda row: str(row.speed.sizes.hidden)),
    Column("cell", lambda row: row.speed.cell),
)


def sheets(rows: Sequence[SpeedRow]) -> list[Sheet]:
    """Return the tables of rows that may stand in one: times; device times; work."""
    found = [_sheet("Wall time of one call", TIMES, rows)]
    timed = [row for row in rows if row.speed.costs]  # the others are in the first
    if any(cost.timings.device_blocks_s for row in timed for cost in row.speed.costs.values()):
        found.append(_sheet("The same: wall / device / replayed as a CUDA graph", CLOCKS, timed))
    if timed:
        found.append(_sheet("Work of one call, and share of the roofline", WORK, timed))
    return found


def scaling_sheet(laws: Sequence[Scaling]) -> Sheet:
    """Return the table of exponents, of the sizes that were varied."""
    axes = [axis for axis in AXES if any(axis in scaling.law.exponents for scaling in laws)]
    formula = " ".join(f"{AXES[axis]}^{letter}" for axis, letter in zip(axes, "abc", strict=False))
    return Sheet(
        title=f"Time grows as {formula}: exponents with half their 95% intervals",
        headings=("cell", "way", "call", *(AXES[axis] for axis in axes), "points", "misfit"),
        left=frozenset({"cell", "way", "call"}),
        body=tuple(_law(scaling, axes) for scaling in laws),
        failed=(False,) * len(laws),
    )


def _law(scaling: Scaling, axes: Sequence[str]) -> tuple[str, ...]:
    law = scaling.law
    exponents = (exponent(law.exponents.get(axis)) for axis in axes)
    names = (scaling.cell, scaling.unrolled, COSTS[scaling.call])
    return (*names, *exponents, str(law.points), share(law.misfit))


def _sheet(title: str, columns: Sequence[Column], rows: Sequence[SpeedRow]) -> Sheet:
    columns = (*NAMES, *columns)
    return Sheet(
        title=title,
        headings=tuple(column.heading for column in columns),
        left=frozenset({"cell", "way"}),
        body=tuple(tuple(column.write(row) for column in columns) for row in rows),
        failed=tuple(not row.speed.costs for row in rows),
    )


def _way(row: SpeedRow) -> str:
    speed = row.speed
    if speed.status is not Status.OK:
        return speed.status.value
    return speed.unrolled if speed.parity_ok else "not right"


def _of(name: str, write: Callable[[Cost], str]) -> Callable[[SpeedRow], str]:
    def text(row: SpeedRow) -> str:
        cost = row.speed.costs.get(name)
        return write(cost) if cost else NONE

    return text


def _wall(scale: float) -> Callable[[Cost], str]:
    return lambda cost: digits(cost.timings.call_s * scale)


def _clocks(scale: float) -> Callable[[Cost], str]:
    def text(cost: Cost) -> str:
        timings = cost.timings
        found = (timings.call_s, timings.device_call_s, timings.replay_call_s)
        return "/".join(digits(None if s is None else s * scale) for s in found)

    return text


TIMES = (
    Column("way", _way),
    Column("train\nms", _of("train_step", _wall(MILLI))),
    Column("infer\nms", _of("inference", _wall(MILLI))),
    Column("1 step\nB=1 µs", _of("streaming", _wall(MICRO))),
    Column("1 step\nµs", _of("streaming_batch", _wall(MICRO))),
)

CLOCKS = (
    Column("train\nms", _of("train_step", _clocks(MILLI))),
    Column("infer\nms", _of("inference", _clocks(MILLI))),
    Column("1 step\nB=1 µs", _of("streaming", _clocks(MICRO))),
)


def _work(name: str, heading: str) -> tuple[Column, ...]:
    return (
        Column(f"{heading}\nop", _of(name, lambda cost: short(cost.work.operations))),
        Column(f"{heading}\nB", _of(name, lambda cost: short(cost.work.bytes))),
        Column(f"{heading}\n%", lambda row: share(row.roofline.get(name))),
    )


WORK = (
    *_work("train_step", "train"),
    *_work("inference", "infer"),
    *_work("streaming_batch", "1 step"),
)
