"""Different steps, drawn without sorting all there are."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.stream import Stream


def rising_places(
    stream: Stream, purpose: str, index: Int[Tensor, "batch"], count: int, *, out_of: int
) -> Int[Tensor, "{count} batch"]:
    """Return `count` different integers from 0 to `out_of - 1` for each sequence, rising.

    Every set is equally likely. It takes `count` passes over what is chosen so far.

    Source: Floyd's sampling, in Bentley 1987, "Programming pearls: a sample of brilliance".
    """
    bounds = range(out_of - count + 1, out_of + 1)
    drawn = stream.integers(purpose, index, count, below=tuple(bounds))
    for turn, bound in enumerate(bounds):
        taken = (drawn[:turn] == drawn[turn]).any(dim=0)
        drawn[turn] = torch.where(taken, bound - 1, drawn[turn])
    return drawn.sort(dim=0).values
