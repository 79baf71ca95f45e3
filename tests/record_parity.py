"""Write `cellbench/cells/parity.json` anew: what every cell was held to, and how closely.

    python tests/record_parity.py

Runs the tests of cells; a comparison that fails is not written down, and ends this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent / "cells"
sys.path.insert(0, str(TESTS))

from cell_parity import PAGE, RECORD  # noqa: E402 -- it lies beside the tests of cells


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "parity.jsonl"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", str(TESTS)]
        code = subprocess.call(command, env=os.environ | {RECORD: str(lines)})
        if code:
            return code
        PAGE.write_text(json.dumps(largest(lines.read_text()), indent=1) + "\n")
    return 0


def largest(lines: str) -> list[dict[str, object]]:
    """Return a row for each thing that a cell was held to, with the largest error of all tests."""
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for row in map(json.loads, lines.splitlines()):
        key = (row["cell"], row["package"] == "", row["package"], row["what"])
        row["error"] = float(f"{row['error']:.1e}")
        if key not in rows or row["error"] > rows[key]["error"]:
            rows[key] = row
    return [rows[key] for key in sorted(rows)]


if __name__ == "__main__":
    sys.exit(main())
