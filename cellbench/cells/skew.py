"""Antisymmetric matrices, and the rotations that they are the logarithms of."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

SQUARINGS = 9
"""`exponential` is exact to rounding for matrices of norm 256 and less."""


def free_entries(size: int) -> int:
    """Return how many entries of an antisymmetric matrix are free: those above its diagonal."""
    return size * (size - 1) // 2


def antisymmetric(upper: Float[Tensor, "entries"], size: int) -> Float[Tensor, "{size} {size}"]:
    """Return U - U^T, where U is 0 but above its diagonal.

    Args:
        upper: What is above the diagonal, row by row.
        size: Rows and columns.
    """
    rows, columns = torch.triu_indices(size, size, 1, device=upper.device)
    u = upper.new_zeros(size, size).index_put((rows, columns), upper)
    return u - u.mT


def exponential(a: Float[Tensor, "size size"]) -> Float[Tensor, "size size"]:
    """Return e^a, of a's dtype but computed in float64.

    In float32, `torch.matrix_exp` of 128 rows is off an orthogonal matrix by 1e-5; and on CUDA it
    asks the device how large `a` is, so that it cannot be part of a CUDA graph. Here the number
    of squarings is fixed: e^a = (e^(a / 512))^512, the inner one by its power series.
    """
    scaled = a.double() / 2**SQUARINGS
    square = scaled @ scaled
    powers = [torch.eye(len(a), dtype=scaled.dtype, device=a.device), scaled]
    powers += [square, square @ scaled]
    fourth = square @ square
    e = torch.zeros_like(scaled)
    for least in (12, 8, 4, 0):
        terms = (power / math.factorial(least + n) for n, power in enumerate(powers))
        e = fourth @ e + sum(terms, start=torch.zeros_like(scaled))
    for _ in range(SQUARINGS):
        e = e @ e
    return e.to(a.dtype)
