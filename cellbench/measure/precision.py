"""One arithmetic for all cells.

Left alone, torch lets cuDNN's own LSTM round its products to TF32 while a cell written by hand
is multiplied in full float32: not the same arithmetic, in speed or in accuracy. So the flags
are set once for a process, and read back afterwards, since a cell from elsewhere may touch them.
"""

from __future__ import annotations

import torch


def set_precision() -> None:
    """Multiply in full float32 everywhere.

    By torch's older pair of switches: once the newer ones are used, reading the older raises,
    and with it everything that reads them (`torch.backends.cudnn.flags`).
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def precision_flags() -> dict[str, str]:
    """Return the flags that decide the arithmetic, as they stand now."""
    backends = torch.backends
    flags: dict[str, str] = {}
    for name, read in {
        "cuda.matmul.allow_tf32": lambda: backends.cuda.matmul.allow_tf32,
        "cudnn.allow_tf32": lambda: backends.cudnn.allow_tf32,
        "float32_matmul_precision": torch.get_float32_matmul_precision,
        "mkldnn.enabled": lambda: backends.mkldnn.enabled,
        "cudnn.enabled": lambda: backends.cudnn.enabled,
        "cudnn.benchmark": lambda: backends.cudnn.benchmark,
        "cudnn.deterministic": lambda: backends.cudnn.deterministic,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled,
    }.items():
        try:
            flags[name] = str(read())
        except RuntimeError:  # somebody used the newer switches in this process
            flags[name] = "unreadable"
    return flags
