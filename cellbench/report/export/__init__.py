"""Results for other programs: one format a file.

To add one: a file here with a function `export`, and a line below.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "csv": "cellbench.report.export.csv_table",
        "parquet": "cellbench.report.export.parquet_table",
        "pytest-benchmark": "cellbench.report.export.pytest_benchmark",
        "bmf": "cellbench.report.export.bencher",
        "github-action-benchmark": "cellbench.report.export.github_action",
    }
)
"""Name -> module with `export(lines, ask) -> {name of a file: its contents}`."""

TABLES = frozenset({"csv", "parquet"})
"""Formats in which a failure is a row, and which have a second table of raw samples."""
