"""What a cell's calls must do at least: operations and bytes, for the roofline."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import Cell, State
from cellbench.measure.operations import count_operations
from cellbench.measure.roofline import Footprint, size_bytes
from cellbench.record import Work
from cellbench.unroll import stepwise

SETTLED = 2
"""Steps after which each further one costs the same: the first have no gradient to pass back."""


def inference_work(cell: Cell, x: Float[Tensor, "time batch input"], state: State) -> Work:
    """Return the work of a forward pass over `x`.

    Args:
        cell: Any cell.
        x: Inputs.
        state: After the last step.
    """
    size = _footprint(cell, x, state).inference_bytes
    return Work(operations=_operations(cell, x, train=False), bytes=size)


def training_work(cell: Cell, x: Float[Tensor, "time batch input"], state: State) -> Work:
    """Return the work of a forward and a backward pass; see `inference_work`."""
    size = _footprint(cell, x, state).training_bytes
    return Work(operations=_operations(cell, x, train=True), bytes=size)


def step_work(cell: Cell, x: Float[Tensor, "1 batch input"], state: State) -> Work:
    """Return the work of one step from `state`, projection included."""
    with torch.no_grad():
        count = count_operations(lambda: stepwise(cell, cell.project(x), state))
    return Work(operations=count, bytes=_footprint(cell, x, state).inference_bytes)


def _footprint(cell: Cell, x: Tensor, state: State) -> Footprint:
    outputs = len(x) * x.shape[1] * cell.hidden_size * x.element_size()
    return Footprint(size_bytes(cell.parameters()), size_bytes([x]), outputs, size_bytes(state))


def _operations(cell: Cell, x: Tensor, *, train: bool) -> int:
    """Count over the stepwise form; of a cell whose steps cost alike, over three steps."""
    if cell.grows or len(x) <= SETTLED + 1:
        return _count(cell, x, train=train)
    before, after = (_count(cell, x[:n], train=train) for n in (SETTLED, SETTLED + 1))
    return before + (len(x) - SETTLED) * (after - before)


def _count(cell: Cell, x: Tensor, *, train: bool) -> int:
    x = x.detach().requires_grad_(train)

    def call() -> None:
        read = x.clone()  # torch's counter cannot take a leaf as a module's input
        y, _ = stepwise(cell, cell.project(read), cell.initial_state(x.shape[1]))
        if train:
            asked = [x, *cell.parameters()]
            torch.autograd.grad(y, asked, torch.ones_like(y), allow_unused=True)

    with torch.set_grad_enabled(train):
        return count_operations(call)
