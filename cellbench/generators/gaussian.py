"""Normal numbers, looked up and not computed, so that every device has the same ones."""

from __future__ import annotations

import functools
from statistics import NormalDist

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.stream import Stream

SIZE = 2**16
"""Values that are equally likely."""

_PLACES = 2.0**20  # values are multiples of 1/this: a last digit of a logarithm cannot show


@functools.cache
def normal_values() -> Float[Tensor, "values"]:
    """Return the middles of 2**16 equal shares of the normal distribution, rising.

    They are scaled to variance 1 and then rounded to multiples of 2**-20, which float32 holds.
    """
    upper = [NormalDist().inv_cdf((SIZE + 2 * k + 1) / (2 * SIZE)) for k in range(SIZE // 2)]
    half = torch.tensor(upper, dtype=torch.float64)
    half = half.div(half.square().mean().sqrt()).mul(_PLACES).round().div(_PLACES)
    return torch.cat([-half.flip(0), half]).float()


@functools.cache
def variance() -> float:
    """Return the exact variance of the values: 1, but for less than 1e-6."""
    return float(normal_values().double().square().mean())


@functools.lru_cache(maxsize=8)
def _on(device: torch.device) -> Float[Tensor, "values"]:
    return normal_values().to(device)


def normals(
    stream: Stream, purpose: str, index: Int[Tensor, "batch"], count: int
) -> Float[Tensor, "{count} batch"]:
    """Return `count` numbers of mean 0 and variance 1 for each sequence of `index`."""
    return _on(index.device)[stream.integers(purpose, index, count, below=SIZE)]
