"""Carrying a cell through time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import Cell, ParallelCell, Projected, State

Outputs = tuple[Float[Tensor, "time batch hidden"], State]


def unroll(cell: Cell, x: Float[Tensor, "time batch input"], state: State | None = None) -> Outputs:
    """Run `cell` over `x`, by its parallel form where it has one.

    Args:
        cell: Any cell.
        x: Inputs.
        state: What it remembers at the start; its initial state if None.
    """
    p = cell.project(x)
    start = cell.initial_state(x.shape[1]) if state is None else state
    if isinstance(cell, ParallelCell):
        return cell.parallel(p, start)
    return stepwise(cell, p, start)


def stepwise(cell: Cell, p: Projected, state: State) -> Outputs:
    """Run `cell` over `p = cell.project(x)` a step at a time: the definition of right.

    A tuple from `project` reaches `step` as the same kind of (named) tuple.
    """
    outputs = []
    for p_t in slices(p):
        y, state = cell.step(p_t, state)
        outputs.append(y)
    return torch.stack(outputs), state


def slices(p: Projected) -> list[Projected]:
    """Return the time slices of a projection, first step first."""
    if isinstance(p, Tensor):
        return list(p.unbind(0))
    make = getattr(type(p), "_make", type(p))  # a named tuple takes its fields one by one
    return [make(parts) for parts in zip(*(tensor.unbind(0) for tensor in p), strict=True)]
