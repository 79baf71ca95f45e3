"""The calls whose speed is asked for: a cell by itself, on random inputs.

Inputs are normal numbers, in tensors that stay where they are, so that a CUDA graph of a call
finds new ones there after `refresh`. Never zeros: a GPU multiplies those faster.
"""

from __future__ import annotations

import abc
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import Cell, State
from cellbench.record import Work
from cellbench.sweep.work import inference_work, step_work, training_work
from cellbench.unroll import Carrier, slices


class Call(abc.ABC):
    """What is timed.

    Attributes:
        cell: That is called.
        x: Inputs.
    """

    cell: Cell
    x: Float[Tensor, "time batch input"]

    @abc.abstractmethod
    def __call__(self) -> object:
        """Do it."""

    @abc.abstractmethod
    def work(self, state: State) -> Work:
        """Return what it has to do at least.

        Args:
            state: After the whole sequence, of the whole batch.
        """

    def refresh(self) -> None:
        """Draw the inputs anew."""
        self.x.detach().normal_()


@final
class Inference(Call):
    """Forward over whole sequences, without gradients.

    Args:
        cell: On the device, in the dtype.
        carrier: Carries it through time.
        x: Overwritten by `refresh`.
    """

    def __init__(self, cell: Cell, carrier: Carrier, x: Tensor) -> None:
        self.cell = cell
        self.x = x
        self._carrier = carrier

    def __call__(self) -> tuple[Tensor, State]:
        with torch.no_grad():
            return self._carrier(self.cell, self.x)

    def work(self, state: State) -> Work:
        return inference_work(self.cell, self.x, state)


@final
class TrainStep(Call):
    """Forward, and backward to the inputs and all parameters.

    The cotangent is random, on all outputs; none on the last state. No loss, clipping or
    optimiser; gradients are made, and not added to older ones. To the inputs as well, since a
    layer mostly has another one below it.

    Args: see `Inference`.
    """

    def __init__(self, cell: Cell, carrier: Carrier, x: Tensor) -> None:
        self.cell = cell
        self.x = x.detach().requires_grad_()
        self._carrier = carrier
        self._asked = [self.x, *(p for p in cell.parameters() if p.requires_grad)]
        self._cotangent = x.new_empty(*x.shape[:2], cell.hidden_size).normal_()

    def __call__(self) -> object:
        y, _ = self._carrier(self.cell, self.x)
        return torch.autograd.grad(y, self._asked, self._cotangent, allow_unused=True)

    def work(self, state: State) -> Work:
        return training_work(self.cell, self.x, state)

    def refresh(self) -> None:
        super().refresh()
        self._cotangent.normal_()


@final
class OneStep(Call):
    """One step without gradients: `project` of one time slice and `step`, called from Python.

    The same whichever way carries the cell through whole sequences: what it costs to answer one
    input at a time, each as it comes.

    Args:
        cell: On the device, in the dtype.
        state: Where to start, each time: after a sequence.
        batch: Sequences, of which the first of `state` are taken.
    """

    def __init__(self, cell: Cell, state: State, batch: int) -> None:
        self.cell = cell
        self.state = first_rows(state, batch)
        self.x = next(cell.parameters()).detach().new_empty(1, batch, cell.input_size).normal_()

    def __call__(self) -> tuple[Tensor, State]:
        with torch.no_grad():
            (p_t,) = slices(self.cell.project(self.x))
            return self.cell.step(p_t, self.state)

    def work(self, state: State) -> Work:
        return step_work(self.cell, self.x, first_rows(state, self.x.shape[1]))


def first_rows(state: State, batch: int) -> State:
    """Return the state of the first `batch` sequences, of the same (named) kind."""
    parts = [part[:batch].clone() for part in state]
    make = getattr(type(state), "_make", tuple)  # a named tuple takes its fields one by one
    rows: State = make(parts)
    return rows
