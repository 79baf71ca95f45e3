"""What cells share whose gates are linear maps of x and h, one block of rows to a gate."""

from __future__ import annotations

import abc
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell


class HiddenState(NamedTuple):
    """What a cell remembers that shows all it remembers."""

    h: Tensor


class MemoryState(NamedTuple):
    """What a cell remembers that shows a part, h, of a memory c."""

    h: Tensor
    c: Tensor


class StackedGates(Cell, abc.ABC):
    """A cell with W_x, b and W_h, in each of which the rows of its gates are stacked.

    `project` makes W_x x + b for all time; what W_h reads is up to `step`. All starts out as in
    `torch.nn.LSTM`, from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).

    Attributes:
        x_gates: Blocks of rows of W_x and b.
        h_gates: Blocks of rows of W_h.

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates: int
    h_gates: int

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.weight_x = nn.Parameter(torch.empty(self.x_gates * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(self.h_gates * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(self.x_gates * hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.x_gates}*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def zeros(self, batch: int) -> Float[Tensor, "batch {self.hidden_size}"]:
        """Return a part of a state before the first step."""
        return self.weight_h.new_zeros(batch, self.hidden_size)


class HiddenGates(StackedGates, abc.ABC):
    """Such a cell whose state is h."""

    def initial_state(self, batch: int) -> HiddenState:
        return HiddenState(self.zeros(batch))


class MemoryGates(StackedGates, abc.ABC):
    """Such a cell whose state is h and a memory c."""

    def initial_state(self, batch: int) -> MemoryState:
        return MemoryState(self.zeros(batch), self.zeros(batch))
