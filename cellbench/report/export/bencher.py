"""Bencher Metric Format: `bencher run --adapter json --file results.json`.

    {"lstm copying/delay-10 hidden=64 ...": {"train_step_s": {"value": 0.01, "lower_value": ...}}}

Source: https://bencher.dev/docs/reference/bencher-metric-format, its JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cellbench.record import AnyLine
from cellbench.report.export.ask import Ask
from cellbench.report.export.points import Point, points


def export(lines: Sequence[AnyLine], ask: Ask) -> dict[str, bytes]:  # noqa: ARG001 -- nothing to choose
    """Return one file: benchmarks, their measures, a value each, with bounds where there are any.

    Raises:
        NothingMeasuredError: No record has a value.
        IncomparableError: The records are of machines that may not be compared.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for point in points(lines):
        found.setdefault(point.benchmark, {})[point.measure] = _metric(point)
    return {"bmf.json": (json.dumps(found, indent=2, allow_nan=False) + "\n").encode()}


def _metric(point: Point) -> dict[str, float]:
    metric = {"value": point.value, "lower_value": point.low, "upper_value": point.high}
    return {name: number for name, number in metric.items() if number is not None}
