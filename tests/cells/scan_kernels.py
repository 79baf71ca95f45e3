"""Hold the kernels of `triton_scan` to the plain form: `python scan_kernels.py DEVICE`.

A program of its own, since triton is told to interpret kernels before it is imported.
"""

from __future__ import annotations

import itertools
import sys

import torch
from torch import Tensor

from cellbench.cells import doubling_scan, triton_scan

SIZES = [(1, (1,)), (2, (64,)), (7, (3, 5)), (16, (32,)), (17, (2, 65)), (35, (130,))]
"""One tile and several, full ones and not; one program and several."""

CLOSE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def draw(time: int, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> list[Tensor]:
    """Return a, b, dy and h; a has zeros, ones and negative numbers, b has gaps in memory."""
    random = torch.Generator().manual_seed(time)
    a, b, dy, h = (
        torch.randn(*size, generator=random, dtype=torch.float64).to(device)
        for size in ((time, *shape), (time, *shape, 2), (time, *shape), shape)
    )
    a = a.clamp(-1, 1)
    a[::3] = 0
    return [tensor.to(dtype) for tensor in (a, b[..., 0], dy, h)]


def check(time: int, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    """Raise AssertionError if values or gradients are not the plain form's in float64."""
    a, b, dy, h = draw(time, shape, dtype, device)
    for gated in (False, True):
        y = triton_scan.forward(a, b, h, gated=gated)
        found = [y, *triton_scan.backward(a, b if gated else None, y, h, dy)]
        a_64, b_64, h_64, y_64, dy_64 = (tensor.double() for tensor in (a, b, h, y, dy))
        expected = [
            doubling_scan.forward(a_64, b_64, h_64, gated=gated),
            *doubling_scan.backward(a_64, b_64 if gated else None, y_64, h_64, dy_64),
        ]
        torch.testing.assert_close(
            found, [tensor.to(dtype) for tensor in expected], rtol=CLOSE[dtype], atol=CLOSE[dtype]
        )


def main(device: str) -> None:
    """Check every size in every precision, or, where it is interpreted, in one each."""
    pairs = (
        zip(SIZES, itertools.cycle(CLOSE), strict=False)
        if device == "cpu"
        else itertools.product(SIZES, CLOSE)
    )
    for (time, shape), dtype in pairs:
        check(time, shape, dtype, device)


if __name__ == "__main__":
    main(sys.argv[1])
