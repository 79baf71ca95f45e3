"""A gate's numbers for programs that draw them over time: Bencher, github-action-benchmark, CSV.

They keep numbers, not verdicts. Of a void gate there are none to keep.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator

from cellbench.errors import NothingMeasuredError
from cellbench.report import gate_rows as rows
from cellbench.verdicts import Finding, GateReport, Kind

HEAD = ("run_id", "started_at", "base", "base_commit", "head_commit", "machine", "void")
"""Columns that are the same in all rows of a CSV file."""


def to_bmf(report: GateReport) -> str:
    """Return Bencher Metric Format: a benchmark a cell, a measure a metric, and its ratio.

    The measure `train_step` is head's seconds; `train_step_ratio` is head over base with its
    bounds, which holds on a machine of any speed.

    Source: bencher.dev/docs/reference/bencher-metric-format.

    Raises:
        NothingMeasuredError: There is no number, or the gate is void.
    """
    benchmarks: dict[str, dict[str, dict[str, float]]] = {}
    for finding in _numbers(report):
        measures = benchmarks.setdefault(finding.cell, {})
        measures[finding.metric] = {"value": _head(finding)}
        ratio = _ratio(finding)
        if finding.kind is Kind.TIME and "value" in ratio:
            measures[f"{finding.metric}_ratio"] = ratio
    return _json(benchmarks)


def to_action_benchmark(report: GateReport) -> str:
    """Return github-action-benchmark's `customSmallerIsBetter`; skills are left out.

    Raises:
        NothingMeasuredError: There is no number, or the gate is void.
    """
    return _json([_entry(f) for f in _numbers(report) if f.kind is not Kind.ACCURACY])


def to_csv(report: GateReport) -> str:
    """Return a heading and a line for each finding, the control's too; None is empty."""
    fields = [field for field in Finding.__struct_fields__ if field not in {"base", "head"}]
    place = fields.index("ratio")
    fields[place:place] = ["base_value", "head_value"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*HEAD, "role", *fields])
    common = [getattr(report, name) for name in HEAD]
    for finding in report.findings:
        role = "control" if rows.is_control(report, finding) else "cell"
        values = [getattr(finding, field.removesuffix("_value")) for field in fields]
        writer.writerow([*common, role, *map(_text, values)])
    return buffer.getvalue().rstrip("\n")


def _numbers(report: GateReport) -> list[Finding]:
    """Return what has a number at head."""
    if report.void:
        raise NothingMeasuredError(f"The gate is void, so there is nothing to keep: {report.void}")
    found = [finding for finding in report.findings if _is_finite(finding.head)]
    found = [finding for finding in found if not rows.is_control(report, finding)]
    if not found:
        raise NothingMeasuredError("The gate measured nothing that could be kept.")
    return found


def _entry(finding: Finding) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": rows.name(finding),
        "unit": finding.unit or "count",
        "value": _head(finding),
    }
    extra = dict(_extra(finding))
    if "bounds" in extra:
        entry["range"] = extra["bounds"]
    return entry | {"extra": "\n".join(f"{name}: {text}" for name, text in extra.items())}


def _extra(finding: Finding) -> Iterator[tuple[str, str]]:
    yield "verdict", finding.verdict.value
    if _is_finite(finding.base) and _is_finite(finding.ratio):
        yield "base", f"{finding.base:.9g}"
        yield "head / base", f"{finding.ratio:.6g}"
    if _is_finite(finding.low) and _is_finite(finding.high):
        yield "bounds", f"{finding.low:.4g}–{finding.high:.4g} of base"


def _ratio(finding: Finding) -> dict[str, float]:
    found = {"value": finding.ratio, "lower_value": finding.low, "upper_value": finding.high}
    return {name: n for name, n in found.items() if n is not None and math.isfinite(n)}


def _head(finding: Finding) -> float:
    assert finding.head is not None  # noqa: S101 -- for the type checker: chosen for it
    return finding.head


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _text(value: object) -> object:
    """Return what CSV shows: nothing for what is unknown or not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return "" if value is None else value


def _json(found: object) -> str:
    return json.dumps(found, allow_nan=False, ensure_ascii=False, indent=2)
