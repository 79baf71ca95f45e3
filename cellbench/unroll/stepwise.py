"""A cell carried through time a step at a time: what every other way must give."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from cellbench.cells.base import Cell, Projected, State, is_constant

Outputs = tuple[Float[Tensor, "time *batch hidden"], State]


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
        return _cut(p)
    if not all(isinstance(part, Tensor) for part in p):  # a cell made of cells
        leaves, spec = pytree.tree_flatten(p)
        return [
            pytree.tree_unflatten(parts, spec) for parts in zip(*map(_cut, leaves), strict=True)
        ]
    make = getattr(type(p), "_make", type(p))  # a named tuple takes its fields one by one
    return [make(parts) for parts in zip(*map(_cut, p), strict=True)]


def _cut(part: Tensor) -> list[Tensor]:
    """Return the time slices; of what is the same at every step, one slice over and over."""
    return [part[0]] * len(part) if is_constant(part) else list(part.unbind(0))
