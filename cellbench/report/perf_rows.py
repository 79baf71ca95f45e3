"""What the tables of `cellbench perf` say of each cell at each size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from cellbench.errors import NothingMeasuredError
from cellbench.measure.replay import launch_bound
from cellbench.measure.roofline import least_s
from cellbench.measure.timing import NOISY, spread
from cellbench.record import COSTS, AnyLine, Ceilings, Cost, Speed, Status
from cellbench.store.frames import machine, machine_name
from cellbench.store.journal import environments, speeds


class SpeedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One cell at one size on one machine.

    Attributes:
        id: Unique among the rows of one machine and one group of settings.
        speed: The record, raw blocks included.
        roofline: Kind of call -> its share of the roofline, in wall time.
        machine: The facts that must agree before two speeds are compared.
        notes: What a reader must know to believe the row; a remedy after a semicolon.
    """

    id: str
    speed: Speed
    roofline: dict[str, float] = {}
    machine: str = ""
    machine_name: str = ""
    notes: tuple[str, ...] = ()


def speed_rows(lines: Iterable[AnyLine], cells: Sequence[str] = ()) -> list[SpeedRow]:
    """Return a row for each cell, size and machine, small sizes first.

    Args:
        lines: Of one or more journals.
        cells: Come first at each size, in this order; then the others, by name.

    Raises:
        NothingMeasuredError: There is no speed.
    """
    lines = list(lines)
    known = environments(lines)
    places = {cell: place for place, cell in enumerate(cells)}

    def order(speed: Speed) -> tuple[object, ...]:
        sizes = speed.sizes
        size = (sizes.hidden, sizes.input, sizes.batch, sizes.time)
        return (*size, places.get(speed.cell, len(places)), speed.cell)

    rows = []
    for speed in sorted(speeds(lines), key=order):
        key = known[speed.env].key if speed.env in known else None
        rows.append(_row(speed, key))
    if not rows:
        raise NothingMeasuredError("There is no speed to report; `cellbench perf` measures some.")
    return rows


def groups(rows: Sequence[SpeedRow]) -> Iterator[list[SpeedRow]]:
    """Yield the rows that may stand in one table: same machine, dtype and way asked for."""

    def group(row: SpeedRow) -> tuple[str, ...]:
        speed = row.speed
        return (speed.device, speed.dtype, speed.unroll, row.machine)

    for _, members in groupby(sorted(rows, key=group), key=group):
        yield list(members)


def notes(rows: Sequence[SpeedRow]) -> list[str]:
    """Return the notes of `rows`; what differs in numbers only is told once, for its first size.

    Each names cell and size.
    """
    told: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in rows:
        for note in row.notes:
            kind = re.sub(r"\d[\d.e+-]*", "#", note)
            told.setdefault((row.speed.cell, kind), []).append((row.id, note))
    return [*(_once(found) for found in told.values()), *_doubt(rows)]


def _doubt(rows: Sequence[SpeedRow]) -> Iterator[str]:
    """Say how many times are hard to trust, and what to do."""
    spreads = [
        (spread(cost.timings), f"{row.id}, {COSTS[name]}")
        for row in rows
        for name, cost in row.speed.costs.items()
    ]
    many = sum(found > NOISY for found, _ in spreads)
    if many:
        most, where = max(spreads)
        yield (
            f"{many} of {len(spreads)} times spread by more than {NOISY:.0%} of their median, "
            f"the most by {most:.0%} ({where}); close other programs and --remeasure"
        )


def _once(found: list[tuple[str, str]]) -> str:
    (first, note), others = found[0], len(found) - 1
    if not others:
        return f"{first}: {note}"
    what, semicolon, remedy = note.partition("; ")
    sizes = "1 other size" if others == 1 else f"{others} other sizes"
    return f"{first}: {what}, and the like at {sizes}{semicolon}{remedy}"


def _row(speed: Speed, key: dict[str, str] | None) -> SpeedRow:
    sizes = speed.sizes
    found = speed.ceilings
    return SpeedRow(
        id=f"{speed.cell} T={sizes.time} B={sizes.batch} H={sizes.hidden}",
        speed=speed,
        roofline={name: _share(c, found) for name, c in speed.costs.items()} if found else {},
        machine=machine(key) if key else "",
        machine_name=machine_name(key) if key else "unknown machine",
        notes=tuple(_notes(speed)),
    )


def _share(cost: Cost, ceilings: Ceilings) -> float:
    return least_s(cost.work, ceilings) / cost.timings.call_s


def _notes(speed: Speed) -> Iterator[str]:
    if speed.status is not Status.OK:
        why = f"{speed.error.type}: {speed.error.message}" if speed.error else ""
        where = f" ({speed.error.where})" if speed.error and speed.error.where else ""
        yield f"not timed: {speed.status.value}: {why}{where}"
    if speed.fallback and speed.parity_ok:  # if it is not right, a warning says so
        yield f"{speed.unrolled}, since {speed.fallback}"
    if speed.unrolled == "compiled":
        yield f"took {speed.compile_s:.1f} s to compile, in no timing"
    yield from speed.warnings
    for name, cost in speed.costs.items():
        ratio = launch_bound(cost.timings)
        if ratio is not None:
            yield (
                f"{COSTS[name]} is launch-bound: wall time is {ratio:.1f} times the device's; "
                f"{_advice(speed, name)}"
            )
        if cost.unreplayed:
            yield f"{COSTS[name]} could not be replayed as a CUDA graph: {cost.unreplayed}"


def _advice(speed: Speed, name: str) -> str:
    """Say what makes a launch-bound call quicker; not what was tried already."""
    if name in {"streaming", "streaming_batch"}:
        return "replay it as a CUDA graph"
    tried = speed.unrolled != "stepwise" or speed.unroll == "compiled"
    return "try larger batches" if tried else "try --unroll compiled"
