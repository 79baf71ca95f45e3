"""What a cell is conditioned with: numbers made of its input, its state, or a hyper cell."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import constant
from cellbench.cells.ln_lstm import LNLSTM

CONDITIONS = ("input", "state", "hyper")
"""What e_t can be, see below."""


@final
class Conditioner(nn.Module):
    """A small network that makes numbers, such as changes of gains and shifts, at every step.

        m_t = B relu(A e_t + a) + k

    e_t is x_t ("input"), h_{t-1} ("state"), or h'_t of a small LSTM that reads [x_t; h_{t-1}]
    and normalises as HyperLSTM's hyper cell does ("hyper"). B and k start at 0, and so do
    the numbers.

    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer",
    arXiv:1709.07871; de Vries et al. 2017, "Modulating early visual processing by
    language", arXiv:1707.00683, has one hidden layer.
    Differs from it: the numbers of the second source start near 0, not at 0.

    Args:
        input_size: Features of x.
        hidden_size: Features of h.
        numbers: How many to make.
        condition: One of CONDITIONS.
        mlp_size: Features of the hidden layer.
        hyper_size: Features of the hyper cell, if there is one.
        ln_eps: Added to each of the hyper cell's variances.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        numbers: int,
        *,
        condition: str,
        mlp_size: int,
        hyper_size: int,
        ln_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        options.choice("condition", condition, CONDITIONS)
        options.whole("mlp_size", mlp_size, low=1)
        options.whole("hyper_size", hyper_size, low=1)
        self.condition = condition
        self.input_size = input_size
        sizes = {"input": input_size, "state": hidden_size, "hyper": hyper_size}
        if condition == "hyper":
            self.hyper = LNLSTM(input_size + hidden_size, hyper_size, ln_eps=ln_eps)
        self.first = nn.Linear(sizes[condition], mlp_size)  # A, a
        self.last = nn.Linear(mlp_size, numbers)  # B, k
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def initial_memory(self, batch: int) -> tuple[Tensor, ...]:
        """Return h' and c' before the first step; nothing if there is no hyper cell."""
        return tuple(self.hyper.initial_state(batch)) if self.condition == "hyper" else ()

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> Tensor:
        """Do what needs no state, for all time; of x_t alone, that is everything."""
        if self.condition == "input":
            return self._numbers(self.first(x))
        if self.condition == "state":
            return constant(self.first.bias, like=x)
        return functional.linear(x, self.hyper.weight_x[:, : self.input_size], self.hyper.bias)

    def step(
        self, p_t: Tensor, h: Float[Tensor, "batch hidden"], memory: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "batch numbers"], tuple[Tensor, ...]]:
        """Return the numbers, and the hyper cell's next h' and c'.

        Args:
            p_t: A time slice of `project(x)`.
            h: Of the cell, from the step before.
            memory: See `initial_memory`.
        """
        if self.condition == "input":
            return p_t, memory
        if self.condition == "state":
            return self._numbers(torch.addmm(p_t, h, self.first.weight.t())), memory
        reads_h = self.hyper.weight_x[:, self.input_size :]
        e, memory = self.hyper.step(torch.addmm(p_t, h, reads_h.t()), memory)
        return self._numbers(self.first(e)), memory

    def _numbers(self, hidden: Float[Tensor, "*time batch mlp"]) -> Tensor:
        return functional.linear(torch.relu(hidden), self.last.weight, self.last.bias)
