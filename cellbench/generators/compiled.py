"""C++ for generators on the CPU: compiled once on a machine, by inductor.

It knows the compiler and its options, and keeps what it made on disk. Each compiled form draws what
a form in tensors draws, which is there for other devices, few sequences, and no compiler.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

from torch import Tensor

ENOUGH = 2**15
"""Numbers drawn for which this is worth while: inductor is a second of import, and the compiler a
few more, once a machine."""


@functools.cache
def function(source: str, name: str, numbers: int, tensors: int) -> Callable[..., None] | None:
    """Return a function of `source`, or None if there is no compiler or it failed.

    Args:
        source: C++ with `extern "C" void name(...)`.
        name: Of the function.
        numbers: 64-bit integers that it takes first.
        tensors: Pointers that it takes after them.
    """
    try:
        from torch._inductor.codecache import CppCodeCache  # noqa: PLC0415 -- seconds of import

        found: Callable[..., None] = getattr(CppCodeCache.load(source), name)
        found.argtypes = [ctypes.c_longlong] * numbers + [ctypes.c_void_p] * tensors  # type: ignore[attr-defined]  # ctypes
        found.restype = None  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 -- whatever it is, there is the form in tensors
        return None
    return found


def is_worth(drawn: Tensor) -> bool:
    """Return whether compiling pays for drawing so much."""
    return drawn.device.type == "cpu" and drawn.numel() >= ENOUGH


def places(*tensors: Tensor) -> list[int]:
    """Return where tensors are that lie in order in memory."""
    assert all(each.is_contiguous() for each in tensors)  # noqa: S101 -- callers see to it
    return [each.data_ptr() for each in tensors]
