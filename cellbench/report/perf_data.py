"""Speeds for other programs: JSON and CSV, raw blocks included."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import msgspec

from cellbench.record import AnyLine
from cellbench.report.perf_rows import SpeedRow, groups
from cellbench.report.perf_scaling import scalings
from cellbench.store.frames import speeds_frame


def perf_json(rows: Sequence[SpeedRow]) -> str:
    """Return one object: `speeds`, a record each, and `scaling`, a law each."""
    laws = [scaling for group in groups(rows) for scaling in scalings(group)]
    text = msgspec.json.encode({"speeds": rows, "scaling": laws})
    return msgspec.json.format(text, indent=2).decode()


def perf_csv(lines: Iterable[AnyLine]) -> str:
    """Return CSV with a heading and a line for each timed block."""
    buffer = io.StringIO()
    speeds_frame(lines).to_csv(buffer, index=False)
    return buffer.getvalue().rstrip("\n")
