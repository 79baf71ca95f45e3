"""The long table as CSV: a heading, then a line for each record and metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec

from cellbench.record import AnyLine
from cellbench.report.export.ask import Ask
from cellbench.report.export.values import Sample, Value, samples, values


def export(lines: Sequence[AnyLine], ask: Ask) -> dict[str, bytes]:
    """Return one file; what has no value is empty there, truth is `true` or `false`.

    Raises:
        NothingMeasuredError: There is no record, or no timing to take samples of.
    """
    if ask.samples:
        return {"samples.csv": _csv(Sample, samples(lines))}
    return {"results.csv": _csv(Value, values(lines))}


def _csv(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> bytes:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(kind.__struct_fields__)
    table.writerows([_cell(one) for one in msgspec.structs.astuple(row)] for row in rows)
    return buffer.getvalue().encode()


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
