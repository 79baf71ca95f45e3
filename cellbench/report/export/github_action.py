"""For github-action-benchmark: `tool: customSmallerIsBetter` and `tool: customBiggerIsBetter`.

    [{"name": "lstm copying/delay-10 hidden=64 ... train_step_s", "unit": "s", "value": 0.01, ...}]

Good for its charts. Its alerts compare with the one commit before, by a ratio, on whatever
machine that was: `cellbench gate` gives verdicts.

Source: https://github.com/benchmark-action/github-action-benchmark, README.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cellbench.errors import NothingMeasuredError
from cellbench.record import AnyLine
from cellbench.report.export.ask import Ask
from cellbench.report.export.points import Point, points

FILES = {"smaller": "customSmallerIsBetter.json", "bigger": "customBiggerIsBetter.json"}
"""Direction -> file."""

BETTER = {"smaller": "lower", "bigger": "higher"}


def export(lines: Sequence[AnyLine], ask: Ask) -> dict[str, bytes]:
    """Return a file a direction: that which is asked for, or all that have a value.

    Raises:
        NothingMeasuredError: No record has a value of that direction.
        IncomparableError: The records are of machines that may not be compared.
    """
    found = points(lines)
    directions = [ask.direction] if ask.direction else list(FILES)
    sides = {one: [p for p in found if p.better == BETTER[one]] for one in directions}
    if not any(sides.values()):
        raise NothingMeasuredError(f"There is no value of which {ask.direction} is better.")
    return {FILES[one]: _json(side) for one, side in sides.items() if side}


def _json(side: Sequence[Point]) -> bytes:
    return (json.dumps([_entry(p) for p in side], indent=2, allow_nan=False) + "\n").encode()


def _entry(point: Point) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": f"{point.benchmark} {point.measure}",
        "unit": point.unit,
        "value": point.value,
    }
    if point.low is not None and point.high is not None:
        entry["range"] = f"{point.low:.6g} to {point.high:.6g}"
    if point.note:
        entry["extra"] = point.note
    return entry
