"""From an exception to a row."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

from cellbench.record import Failure, Status

MESSAGE_LENGTH = 300


def failure(error: BaseException) -> tuple[Status, Failure]:
    """Return how to record `error`: its status, type, first line, and where it was raised."""
    message = (str(error).strip().splitlines() or [""])[0][:MESSAGE_LENGTH]
    status = Status.OOM if _is_out_of_memory(error) else Status.CRASHED
    return status, Failure(type=type(error).__name__, message=message, where=_where(error))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's, CPU


def _where(error: BaseException) -> str:
    """Return the innermost frame that is not torch's."""
    frames = traceback.extract_tb(error.__traceback__)
    library = Path(torch.__file__).parent
    ours = [frame for frame in frames if not Path(frame.filename).is_relative_to(library)]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
