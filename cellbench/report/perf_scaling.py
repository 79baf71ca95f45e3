"""How each cell's times grow with time, batch and width."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from cellbench.record import COSTS
from cellbench.report.perf_rows import SpeedRow
from cellbench.stats.scaling import Law, fit_power_law

AXES = {"time": "T", "batch": "B", "hidden": "H"}
"""The sizes that a law may depend on, and how they are written."""


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """The law of one kind of call of one cell, carried one way, in wall time of the median block.

    Attributes:
        call: Of `COSTS`.
        law: Its exponents.
    """

    cell: str
    unrolled: str
    call: str
    machine: str
    law: Law


def scalings(rows: Sequence[SpeedRow]) -> list[Scaling]:
    """Return the laws of a group of rows; see `cellbench.report.perf_rows.groups`.

    Points that were carried in different ways follow no common law, so they are fitted apart.
    """

    def key(row: SpeedRow) -> tuple[str, str, str]:
        return (row.speed.cell, row.speed.cell_source, row.speed.unrolled)

    found = []
    timed = [row for row in rows if row.speed.costs]
    places = {key(row): place for place, row in reversed(list(enumerate(timed)))}
    for _, same in groupby(sorted(timed, key=lambda row: places[key(row)]), key=key):
        members = list(same)
        found += [_scaling(members, call) for call in COSTS]
    return found


def _scaling(rows: Sequence[SpeedRow], call: str) -> Scaling:
    axes = [axis for axis in AXES if (call, axis) != ("streaming", "batch")]  # it has a batch of 1
    sizes = {axis: [float(getattr(row.speed.sizes, axis)) for row in rows] for axis in axes}
    seconds = [row.speed.costs[call].timings.call_s for row in rows]
    first = rows[0]
    return Scaling(
        cell=first.speed.cell,
        unrolled=first.speed.unrolled,
        call=call,
        machine=first.machine,
        law=fit_power_law(seconds, sizes),
    )
