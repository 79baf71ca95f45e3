"""Plots of time against size."""

from __future__ import annotations

from collections.abc import Sequence

from cellbench.record import COSTS
from cellbench.report.perf_numbers import seconds
from cellbench.report.perf_rows import SpeedRow
from cellbench.report.perf_scaling import AXES
from cellbench.report.plot import plot

PLOTTED = {
    "train_step": ("time", "batch", "hidden"),
    "inference": ("time", "batch", "hidden"),
    "streaming": ("hidden",),
}
"""Kind of call -> the sizes it may be drawn against; the first that has several values is."""


def plots(rows: Sequence[SpeedRow], *, width: int = 72) -> list[list[str]]:
    """Return a plot, as lines of text, for each kind of call that has what to draw.

    The sizes that are not drawn are held at their greatest.

    Args:
        rows: That may stand in one table.
        width: Columns.
    """
    timed = [row for row in rows if row.speed.costs]
    drawn = (_plot(timed, call, axes, width) for call, axes in PLOTTED.items())
    return [lines for lines in drawn if lines]


def _plot(rows: Sequence[SpeedRow], call: str, axes: Sequence[str], width: int) -> list[str]:
    axis = next((a for a in axes if len({_size(row, a) for row in rows}) > 1), None)
    if axis is None:
        return []
    held = {a: max(_size(row, a) for row in rows) for a in AXES if a != axis}
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if all(_size(row, a) == size for a, size in held.items()):
            point = (float(_size(row, axis)), row.speed.costs[call].timings.call_s)
            lines.setdefault(row.speed.cell, []).append(point)
    where = ", ".join(f"{AXES[a]}={size}" for a, size in held.items())
    title = f"{COSTS[call]}, wall seconds against {AXES[axis]} (logarithmic; {where})"
    return plot(lines, title=title, write_x=lambda x: f"{x:.0f}", write_y=seconds, width=width)


def _size(row: SpeedRow, axis: str) -> int:
    size: int = getattr(row.speed.sizes, axis)
    return size
