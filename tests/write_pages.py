"""Write the pages of cells and of tasks: `make pages`."""

from __future__ import annotations

import sys
from pathlib import Path

from cellbench.report import cells, tasks

DOCS = Path(__file__).parent.parent / "docs"


if __name__ == "__main__":
    (DOCS / "cells.md").write_text(cells.page())
    (DOCS / "tasks.md").write_text(tasks.page())
    sys.exit(0)
