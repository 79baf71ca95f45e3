"""A series in one line of characters."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*#@"
"""The same heights, where a terminal has no blocks."""

GAP, ASCII_GAP = "·", "?"
"""Where there is no value."""

LEAST_SPAN = 0.1
"""From bottom to top, as a share of the median: noise of 1 % is not drawn as a mountain."""

ROUNDING = 1e-9
"""What lies on the border of two heights is drawn as the upper one, however it was rounded."""


def sparkline(values: Sequence[float | None], *, width: int, ascii_only: bool = False) -> str:
    """Return the last `width` values as heights, a character each; "" if there is none.

    Bottom and top are the least and the greatest of them, or half of `LEAST_SPAN` of the median
    below and above the middle, whichever is wider.
    """
    levels, gap = (ASCII, ASCII_GAP) if ascii_only else (BLOCKS, GAP)
    shown = list(values)[-width:]
    there = [value for value in shown if value is not None]
    if not there:
        return gap * len(shown)
    middle = (min(there) + max(there)) / 2
    span = max(max(there) - min(there), LEAST_SPAN * abs(statistics.median(there)))
    bottom = middle - span / 2

    def height(value: float) -> int:
        share = (value - bottom) / span if span else 0.5
        return min(int(share * len(levels) + ROUNDING), len(levels) - 1)

    return "".join(gap if value is None else levels[height(value)] for value in shown)
