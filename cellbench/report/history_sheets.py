"""A history for pull requests and for programs: Markdown, JSON, CSV."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import pandas as pd

from cellbench.report.history_columns import COLUMNS, LEGEND, sentences, tables, title
from cellbench.report.history_rows import Series
from cellbench.report.markdown import markdown_table
from cellbench.report.sparkline import sparkline

SPARKLINE = 24


def to_markdown(found: Sequence[Series]) -> str:
    """Return a Markdown table for each machine, branch and setting."""
    names = list(COLUMNS)
    headings = [*names[:2], f"last {SPARKLINE}", *names[2:]]
    right = [False] * 3 + [True] * (len(headings) - 3)
    parts = []
    for group in tables(found):
        body = []
        for series in group:
            cells = [write(series) for write in COLUMNS.values()]
            body.append([*cells[:2], sparkline(series.numbers, width=SPARKLINE), *cells[2:]])
        parts += [f"**{title(group, found)}**", "", *markdown_table(headings, body, right), ""]
        parts += [*(f"- {line}" for line in sentences(group)), ""]
    return "\n".join([*parts, LEGEND])


def to_json(found: Sequence[Series]) -> str:
    """Return a JSON list, an object a series; `changes` is null where there is too little data."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def to_csv(found: Sequence[Series]) -> str:
    """Return CSV, a line for each commit of each series; None is empty."""
    rows = [row for series in found for row in _lines(series)]
    buffer = io.StringIO()
    pd.DataFrame(rows, dtype=object).to_csv(buffer, index=False)
    return buffer.getvalue().rstrip("\n")


def _lines(series: Series) -> list[dict[str, object]]:
    names = ("id", "cell", "metric", "at", "unit", "better", "reference", "branch", "machine")
    common = {name: getattr(series, name) for name in names}
    changes = {change.place: change for change in series.changes or ()}
    rows = []
    for place, entry in enumerate(series.entries):
        change = changes.get(place)
        found = {
            "enough": series.changes is not None,
            "changed": change.change if change else None,
            "changed_low": change.low if change else None,
            "changed_high": change.high if change else None,
            "worse": change.worse if change else None,
            "acknowledged": change.acknowledged if change else None,
        }
        rows.append(common | msgspec.structs.asdict(entry) | found)
    return rows
