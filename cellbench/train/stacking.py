"""Making one cell of many, and making sure that it is what they are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from cellbench.cells.base import Cell, ParallelCell, State
from cellbench.train.reasons import first_line
from cellbench.train.stacked_cell import StackedCell, StackedParallelCell
from cellbench.unroll import Way, stepwise

TIME, BATCH = 4, 2
"""Of the sequences on which a stack has to agree with its cells."""

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Largest relative difference that is rounding."""

Carry = Callable[[Cell, Tensor], tuple[Tensor, State]]


class StackingError(Exception):
    """Why a cell cannot be stacked, in one line."""


def stack_cells(cells: Sequence[Cell], way: Way) -> tuple[StackedCell, str]:
    """Return one cell that is all of `cells`, and why it lacks their parallel form if it does.

    It is compared with each of them, on a few short sequences, in outputs, states and gradients.

    Args:
        cells: Made with the same settings, on their device.
        way: How they are to be carried through time.

    Raises:
        StackingError: They cannot be stacked, or not for this way.
    """
    fallback = ""
    if isinstance(cells[0], ParallelCell) and way in {Way.AUTO, Way.PARALLEL}:
        try:
            return _checked(StackedParallelCell, cells, (_stepwise, _parallel)), ""
        except StackingError as error:
            if way is Way.PARALLEL:
                raise
            fallback = f"its parallel form cannot be stacked: {error}"
    return _checked(StackedCell, cells, (_stepwise,)), fallback


def _checked(
    make: Callable[[Sequence[Cell]], StackedCell], cells: Sequence[Cell], ways: Sequence[Carry]
) -> StackedCell:
    try:
        with _quiet():
            stack = make(cells)
            errors = [_disagreement(stack, cells, carry) for carry in ways]
    except Exception as error:
        raise StackingError(first_line(error)) from error
    dtype = next(stack.parameters()).dtype
    if max(errors) > TOLERANCE.get(dtype, 1e-2):
        raise StackingError(
            f"stacked and alone differ by {max(errors):.1e} of the largest value: does it keep "
            "tensors that are neither parameters nor buffers, or draw random numbers?"
        )
    return stack


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave torch's random numbers alone, and take a missing batching rule for an error.

    torch would warn of it once, and do one seed after the other.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        yield


def _disagreement(stack: StackedCell, cells: Sequence[Cell], carry: Carry) -> float:
    """Return the largest difference between the stack and its cells, carried stepwise."""
    like = next(stack.parameters())
    shape = (TIME, len(cells), BATCH, stack.input_size)
    x = torch.linspace(-1, 1, math.prod(shape), dtype=like.dtype, device=like.device).view(shape)
    modes = [cell.training for cell in cells]
    y, state, gradients = _outcome(stack.eval(), x, carry)
    stack.train()
    errors = []
    for seed, cell in enumerate(cells):
        found = [y[:, seed], *(part[seed] for part in state), _joined(g[seed] for g in gradients)]
        right_y, right_state, right_gradients = _outcome(cell.eval(), x[:, seed], _stepwise)
        cell.train(modes[seed])
        right = [right_y, *right_state, _joined(right_gradients)]
        errors += [_difference(a, b) for a, b in zip(found, right, strict=True)]
    return max(errors)


def _outcome(cell: Cell, x: Tensor, carry: Carry) -> tuple[Tensor, State, tuple[Tensor, ...]]:
    """Return outputs, last state, and the gradient of each parameter that has one."""
    wanted = [parameter for parameter in cell.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        y, state = carry(cell, x)
        gradients = torch.autograd.grad(
            y.square().sum(), wanted, allow_unused=True, materialize_grads=True
        )
    return y, state, gradients


def _stepwise(cell: Cell, x: Tensor) -> tuple[Tensor, State]:
    return stepwise(cell, cell.project(x), cell.initial_state(x.shape[-2]))


def _parallel(cell: Cell, x: Tensor) -> tuple[Tensor, State]:
    assert isinstance(cell, ParallelCell)  # noqa: S101 -- asked of no other
    return cell.parallel(cell.project(x), cell.initial_state(x.shape[-2]))


def _joined(gradients: Iterator[Tensor] | Sequence[Tensor]) -> Tensor:
    """Return all gradients in one: the smallest of them are rounding of the largest."""
    return torch.cat([gradient.flatten() for gradient in gradients])


def _difference(found: Tensor, right: Tensor) -> float:
    """Return the largest difference relative to the largest right value.

    What is not finite agrees with what is not finite.
    """
    found, right = found.detach(), right.detach()
    if found.shape != right.shape:
        return math.inf
    if not (right.is_floating_point() or right.is_complex()):
        return 0.0 if torch.equal(found, right) else math.inf
    neither = ~found.isfinite() & ~right.isfinite()
    apart = (found - right).abs().masked_fill(neither, 0)
    scale = right.abs().masked_fill(~right.isfinite(), 0).max().clamp(min=1e-30)
    error = float((apart / scale).max())
    return math.inf if math.isnan(error) else error
