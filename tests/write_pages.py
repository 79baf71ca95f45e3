"""Write `docs/cells.md` from the registry and what the tests measured: `make pages`."""

from __future__ import annotations

import sys
from pathlib import Path

from cellbench.report.cells import page

PAGE = Path(__file__).parent.parent / "docs" / "cells.md"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
