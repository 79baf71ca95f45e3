"""How far a way through time is from stepwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cellbench.cells.base import Cell, State
from cellbench.unroll.stepwise import Outputs, stepwise

PARITY_STEPS = (64, 16, 4, 1)
"""Over how many steps two ways are compared: fewer where rounding alone grows too much."""

PARITY_TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}
"""Largest relative difference between two ways of carrying a cell through time that is rounding:
about a thousand units in the last place (half precision: fewer), which the steps can add up to."""

SMALL = 1e-3
"""A gradient so much smaller than the largest is compared on the scale of the largest: what is
zero in exact arithmetic is all rounding."""

Carry = Callable[[Cell, Tensor, State], Outputs]


def is_rounding(error: float, dtype: torch.dtype) -> bool:
    """Tell whether a parity error is one of rounding only."""
    return error <= PARITY_TOLERANCE[dtype]


def parity_error(cell: Cell, x: Tensor, carry: Carry) -> float:
    """Return the largest difference between `carry` and stepwise, in evaluation mode.

    Of outputs and final state, relative to the largest value of each; and of the gradients of
    inputs and parameters, relative to the largest of each, or of all where it is tiny. Over the
    first 64 steps; over fewer, if over so many stepwise itself differs as much when its inputs
    are changed in the last place: a chaotic cell magnifies every rounding.

    Args:
        cell: The cell.
        x: Inputs.
        carry: `(cell, x, state) -> (outputs, state)`.
    """
    was_training = cell.training
    cell.eval()
    try:
        for steps in PARITY_STEPS:
            part = x[:steps].detach()
            right = _results(cell, part, _stepwise)
            error = _largest_difference(_results(cell, part, carry), right)
            if is_rounding(error, x.dtype):
                break
            nearby = _results(cell, part * (1 + torch.finfo(x.dtype).eps), _stepwise)
            if is_rounding(10 * _largest_difference(nearby, right), x.dtype):
                break  # rounding does not explain it
    finally:
        cell.train(was_training)
    return error


def _stepwise(cell: Cell, x: Tensor, state: State) -> Outputs:
    return stepwise(cell, cell.project(x), state)


Results = tuple[list[Tensor], list[Tensor]]
"""Outputs and final state; gradients."""


def _largest_difference(found: Results, right: Results) -> float:
    scale = max(map(_largest, right[1]), default=0.0) * SMALL
    values = map(_difference, found[0], right[0])
    grads = (_difference(f, r, scale) for f, r in zip(found[1], right[1], strict=True))
    return max(*values, *grads)


def _results(cell: Cell, x: Tensor, carry: Carry) -> Results:
    """Return outputs and final state, and the gradients of a fixed function of them."""
    leaves: list[Tensor] = [p for p in cell.parameters() if p.requires_grad]
    with torch.enable_grad():
        leaves.append(x.clone().requires_grad_())
        y, state = carry(cell, leaves[-1], cell.initial_state(x.shape[-2]))
        values = [y, *state]
        roots = [v for v in values if v.requires_grad]
        grads = torch.autograd.grad(sum(map(_mixed, roots)), leaves, allow_unused=True)  # type: ignore[arg-type]
    zeros = (torch.zeros_like(leaf) for leaf in leaves)
    filled = [z if g is None else g for g, z in zip(grads, zeros, strict=True)]
    return [v.detach() for v in values], filled


def _mixed(value: Tensor) -> Tensor:
    """Return a sum in which no two places of `value` count alike."""
    weights = torch.linspace(-1.0, 1.0, value.numel(), dtype=torch.float64, device=value.device)
    total = (value.reshape(-1) * torch.cos(37 * weights).to(value.dtype)).sum()
    return total.real if total.is_complex() else total


def _largest(value: Tensor) -> float:
    return float(value.abs().max()) if value.numel() else 0.0


def _difference(found: Tensor, right: Tensor, scale: float = 1e-30) -> float:
    if not (right.is_floating_point() or right.is_complex()):
        return 0.0 if torch.equal(found, right) else math.inf
    error = _largest(found - right) / max(_largest(right), scale, 1e-30)
    return math.inf if math.isnan(error) else error
