"""Memory that grows with the square root of time, for very long sequences."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from cellbench.cells.base import State

Carry = Callable[[Tensor, State], tuple[Tensor, State]]
"""Inputs of a stretch of time and the state before it -> outputs, and the state after it."""


def checkpointed(
    carry: Carry, x: Float[Tensor, "time batch input"], state: State
) -> tuple[Float[Tensor, "time batch hidden"], State]:
    """Do `carry` in stretches of sqrt(T) steps, and keep nothing of what is inside of one.

    The backward pass does a stretch once more when it gets there. What is kept is the inputs,
    the outputs and the states between stretches; of everything else, one stretch.

    Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
    Differs from it: in nothing.

    Args:
        carry: Pure, but for random numbers, which are drawn again alike.
        x: Inputs.
        state: Before the first step.
    """
    stretch = math.isqrt(len(x) - 1) + 1 if len(x) else 1
    outputs = []
    for part in torch.split(x, stretch):
        y, state = checkpoint(carry, part, state, use_reentrant=False)
        outputs.append(y)
    return torch.cat(outputs), state
