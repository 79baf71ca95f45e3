"""How far a way through time is from stepwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cellbench.cells.base import Cell, State
from cellbench.unroll.stepwise import Outputs, stepwise

PARITY_STEPS = 64
PARITY_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest relative difference between two ways of carrying a cell through time that is rounding:
about a thousand units in the last place, which `PARITY_STEPS` steps can add up to."""

SMALL = 1e-3
"""A gradient so much smaller than the largest is compared on the scale of the largest: what is
zero in exact arithmetic is all rounding."""


def is_rounding(error: float, dtype: torch.dtype) -> bool:
    """Tell whether a parity error is one of rounding only."""
    return error <= PARITY_TOLERANCE.get(dtype, 1000 * torch.finfo(dtype).eps)


def parity_error(cell: Cell, x: Tensor, carry: Callable[[Cell, Tensor, State], Outputs]) -> float:
    """Return the largest difference between `carry` and stepwise, in evaluation mode.

    Of outputs and final state, relative to the largest value of each; and of the gradients of
    inputs and parameters, relative to the largest of each, or of all where it is tiny.

    Args:
        cell: The cell.
        x: Inputs, of which the first `PARITY_STEPS` steps are used.
        carry: `(cell, x, state) -> (outputs, state)`.
    """
    was_training = cell.training
    cell.eval()
    try:
        x = x[:PARITY_STEPS].detach()
        found, found_grads = _results(cell, x, carry)
        right, right_grads = _results(cell, x, _stepwise)
    finally:
        cell.train(was_training)
    values = max(map(_difference, found, right))
    scale = max((_largest(g) for g in right_grads), default=0.0) * SMALL
    grads = (_difference(f, r, scale) for f, r in zip(found_grads, right_grads, strict=True))
    return max([values, *grads])


def _stepwise(cell: Cell, x: Tensor, state: State) -> Outputs:
    return stepwise(cell, cell.project(x), state)


def _results(
    cell: Cell, x: Tensor, carry: Callable[[Cell, Tensor, State], Outputs]
) -> tuple[list[Tensor], list[Tensor]]:
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
