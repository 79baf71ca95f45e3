"""Where workers run, and what a fresh process does before it works there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from cellbench.measure.memory import keep_freed_memory
from cellbench.measure.precision import set_precision
from cellbench.record import AnyLine

if sys.platform == "linux":
    import resource

Keep = Callable[[AnyLine], None]
"""Puts a line on disk before it returns."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where workers run.

    Attributes:
        device: As torch names it.
        threads: CPU threads a worker.
        logs: Folder for what workers print.
        memory_bytes: Most memory a worker may hold, so that a trial that wants more ends as out
            of memory, and does not take the machine with it; None for no limit.
    """

    device: str
    threads: int
    logs: Path
    memory_bytes: int | None = None


def settle(threads: int) -> None:
    """Set what is global in torch: one cell's changes must not reach the next."""
    set_precision()
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def limit_memory(most_bytes: int | None) -> None:
    """Keep freed memory for the next allocation, and let allocations beyond a limit fail.

    Only Linux counts what is asked for here.
    """
    keep_freed_memory()
    if most_bytes is None or sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most_bytes = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, hard))


def redirect(log: Path) -> None:
    """Send what this process prints, torch's own messages included, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
