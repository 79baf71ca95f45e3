"""Vectors of bits, drawn as one number each."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

MOST_BITS = 16
"""Of one vector."""


def unpacked(words: Int[Tensor, "time batch"], bits: int) -> Float[Tensor, "time batch {bits}"]:
    """Return the lowest `bits` bits of each word, the lowest first."""
    places = torch.arange(bits, device=words.device)
    return (words.unsqueeze(2) >> places).bitwise_and_(1).float()


def picked(
    rows: Float[Tensor, "time batch bits"], step: Int[Tensor, "steps batch"]
) -> Float[Tensor, "steps batch bits"]:
    """Return, for every step of `step`, the row of that sequence that it names."""
    return rows.gather(0, step.unsqueeze(2).expand(-1, -1, rows.shape[2]))
