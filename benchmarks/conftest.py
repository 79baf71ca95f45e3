"""What all benchmarks share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from cellbench.measure.memory import keep_freed_memory

sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to time code that checks its shapes at run time."""
    if config.getoption("--jaxtyping-packages", default=None):
        raise pytest.UsageError("shape checks are on and would be timed: use `make bench`")
    keep_freed_memory()  # as workers do


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
