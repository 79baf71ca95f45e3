"""Rows for programs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import pandas as pd

from cellbench.report.rows import Row


def to_json(rows: Sequence[Row]) -> str:
    """Return a JSON list, an object a row; every row has an `id`."""
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def to_csv(rows: Sequence[Row]) -> str:
    """Return CSV with a heading; None is empty, several notes are joined by "; "."""
    flat = [_flat(row) for row in rows]
    buffer = io.StringIO()
    pd.DataFrame(flat, dtype=object).to_csv(buffer, index=False)
    return buffer.getvalue().rstrip("\n")


def _flat(row: Row) -> dict[str, object]:
    fields = msgspec.structs.asdict(row)
    fields["failures"] = "; ".join(f"{status}: {n}" for status, n in row.failures.items())
    fields["ladder"] = "; ".join(f"{step.length}: {step.skill:.4g}" for step in row.ladder)
    fields["rates_tried"] = "; ".join(f"{rate:g}" for rate in row.rates_tried)
    fields["notes"] = "; ".join(row.notes)
    return fields
