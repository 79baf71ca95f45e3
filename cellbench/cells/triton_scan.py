"""Linear recurrences on a CUDA GPU, by the kernels of `triton_kernels`. Needs triton."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cellbench.cells.triton_kernels import backward_kernel, forward_kernel, tl, triton

COLUMN_BYTES = 256
"""Of a row in a program, which is one warp: loads of 16 bytes, and enough programs for all of a
GPU where there are 16k columns."""

ROWS, ROWS_BACK = 16, 8
"""Of a tile. The tile at work and the one on its way must fit in registers, and the backward pass
has up to five tensors of each."""


def forward(a: Tensor, b: Tensor, h: Tensor, *, gated: bool) -> Tensor:
    """Return y_t = keep_t * y_{t-1} + add_t, with y_0 = h.

    Args:
        a: keep; if gated, 1 - keep.
        b: add; if gated, add / a.
        h: The state before the first step.
        gated: Which of the two.
    """
    a, b, h = a.contiguous(), b.contiguous(), h.contiguous()
    y = torch.empty_like(b)
    with torch.cuda.device(b.get_device()):
        forward_kernel[_grid(h)](
            *(a, b, h, y, len(b), h.numel()),
            GATED=gated,
            CARRIED=_carried(b),
            ROWS=ROWS,
            COLUMNS=_columns(h),
            num_warps=1,
        )
    return y


def backward(
    a: Tensor, b: Tensor | None, y: Tensor, h: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and h.

    Args:
        a: As in `forward`.
        b: As in `forward` if gated, else None.
        y: What `forward` returned.
        h: As in `forward`.
        dy: The gradient of y.
    """
    a, y, h, dy = a.contiguous(), y.contiguous(), h.contiguous(), dy.contiguous()
    da, db, dh = torch.empty_like(y), torch.empty_like(y), torch.empty_like(h)
    with torch.cuda.device(y.get_device()):
        backward_kernel[_grid(h)](
            *(a, a if b is None else b.contiguous(), y, h, dy, da, db, dh, len(y), h.numel()),
            GATED=b is not None,
            CARRIED=_carried(y),
            ROWS=ROWS_BACK,
            COLUMNS=_columns(h),
            num_warps=1,
        )
    return da, db, dh


def _grid(h: Tensor) -> tuple[int]:
    return (max(1, triton.cdiv(h.numel(), _columns(h))),)


def _columns(tensor: Tensor) -> int:
    return COLUMN_BYTES // max(4, tensor.element_size())


def _carried(tensor: Tensor) -> Any:
    return tl.float64 if tensor.dtype == torch.float64 else tl.float32
