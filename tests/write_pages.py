"""Write the pages of cells and of tasks, and the trivial score of every level: `make pages`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cellbench.catalog import load_tasks
from cellbench.generators import zeros
from cellbench.report import cells, tasks

DOCS = Path(__file__).parent.parent / "docs"


def scores() -> dict[str, float]:
    """Return the trivial score of what each level and each rung of its ladder draws."""
    levels = load_tasks().values()
    rungs = [task.generator.at_length(length) for task in levels for length in task.ladder]
    every = [*(task.generator for task in levels), *rungs]
    return {zeros.key_of(generator): generator.trivial() for generator in dict.fromkeys(every)}


if __name__ == "__main__":
    text = json.dumps(dict(sorted(scores().items())), indent=0)
    Path(zeros.__file__).with_name(zeros.NAME).write_text(text + "\n", encoding="utf-8")
    zeros.known.cache_clear()
    (DOCS / "cells.md").write_text(cells.page())
    (DOCS / "tasks.md").write_text(tasks.page())
    sys.exit(0)
