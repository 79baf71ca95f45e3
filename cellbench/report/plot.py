"""Lines on logarithmic axes, drawn with characters: for terminals, pipes and Markdown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

MARKERS = "●○■□▲△◆◇"
"""One a line, in order; from the ninth line on they come again."""

SEVERAL = "✱"
"""Where markers of several lines fall together."""

DOT = "·"

Points = Sequence[tuple[float, float]]


def plot(
    lines: Mapping[str, Points],
    *,
    title: str,
    write_x: Callable[[float], str],
    write_y: Callable[[float], str],
    width: int = 72,
    height: int = 12,
) -> list[str]:
    """Return the lines of text of a log-log plot; none if there is no point.

    Args:
        lines: Name -> its points, both coordinates above 0.
        title: Stands above.
        write_x: How the x axis is labelled, at every x that a point has, as far as there is room.
        write_y: How the y axis is labelled, at its ends and in the middle.
        width: Columns in all; the legend may need several lines, a long name more columns.
        height: Rows of the field.
    """
    points = [point for line in lines.values() for point in line]
    if not points:
        return []
    x_scale = _Scale([x for x, _ in points])
    y_scale = _Scale([y for _, y in points])
    labels = {row: write_y(y_scale.value(1 - row / (height - 1))) for row in _marked(height)}
    margin = max(map(len, labels.values())) + 1
    field = _Field(width - margin - 1, height, x_scale, y_scale)
    for n, line in enumerate(lines.values()):
        field.draw(sorted(line), MARKERS[n % len(MARKERS)])
    rows = [
        f"{labels.get(row, ''):>{margin - 1}} {'┤' if row in labels else '│'}{text}".rstrip()
        for row, text in enumerate(field.rows())
    ]
    axis = _x_axis(sorted({x for x, _ in points}), field, write_x)
    foot = [f"{'':{margin}}└{axis[0]}", f"{'':{margin}} {axis[1]}".rstrip()]
    return [title, *rows, *foot, *_legend(list(lines), field.several, margin, width)]


def _marked(height: int) -> tuple[int, ...]:
    return (0, (height - 1) // 2, height - 1)


class _Scale:
    """Where a value lies between the least (0) and the greatest (1), in logarithms."""

    def __init__(self, values: Sequence[float]) -> None:
        self._low, high = math.log(min(values)), math.log(max(values))
        self._length = high - self._low
        if self._length == 0:  # one value: in the middle
            self._low, self._length = self._low - 0.5, 1.0

    def place(self, value: float) -> float:
        return (math.log(value) - self._low) / self._length

    def value(self, place: float) -> float:
        return math.exp(self._low + place * self._length)


class _Field:
    """A grid of characters, the first row on top."""

    def __init__(self, width: int, height: int, x_scale: _Scale, y_scale: _Scale) -> None:
        self.width, self.height = width, height
        self.several = False
        self._x, self._y = x_scale, y_scale
        self._grid = [[" "] * width for _ in range(height)]

    def column(self, x: float) -> int:
        return round(self._x.place(x) * (self.width - 1))

    def row(self, y: float) -> int:
        return round((1 - self._y.place(y)) * (self.height - 1))

    def draw(self, line: Points, marker: str) -> None:
        at = [(self.column(x), self.row(y)) for x, y in line]
        for (left, top), (right, bottom) in itertools.pairwise(at):
            for column in range(left + 1, right):
                share = (column - left) / (right - left)
                self._put(column, round(top + share * (bottom - top)), DOT)
        for column, row in at:
            self._put(column, row, marker)

    def _put(self, column: int, row: int, what: str) -> None:
        there = self._grid[row][column]
        if what == DOT and there != " ":
            return
        if there in {" ", DOT, what}:
            self._grid[row][column] = what
        else:
            self._grid[row][column] = SEVERAL
            self.several = True

    def rows(self) -> list[str]:
        return ["".join(row) for row in self._grid]


def _x_axis(
    values: Sequence[float], field: _Field, write: Callable[[float], str]
) -> tuple[str, str]:
    """Return the axis with a tick at each value, and the labels for which there is room."""
    ticks, labels = ["─"] * field.width, [" "] * field.width
    free = 0
    for value in values:
        column, text = field.column(value), write(value)
        ticks[column] = "┬"
        start = max(0, min(column - len(text) // 2, field.width - len(text)))
        if start >= free:
            labels[start : start + len(text)] = text
            free = start + len(text) + 1
    return "".join(ticks), "".join(labels).rstrip()


def _legend(names: Sequence[str], several: bool, margin: int, width: int) -> list[str]:  # noqa: FBT001 -- private
    entries = [f"{MARKERS[n % len(MARKERS)]} {name}" for n, name in enumerate(names)]
    entries += [f"{SEVERAL} several"] if several else []
    rows = [""]
    for entry in entries:
        longer = f"{rows[-1]}   {entry}" if rows[-1] else entry
        if len(longer) > width - margin - 1 and rows[-1]:
            rows.append(entry)
        else:
            rows[-1] = longer
    return [f"{'':{margin + 1}}{row}" for row in rows]
