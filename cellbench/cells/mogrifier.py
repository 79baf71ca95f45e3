"""Mogrifier: an LSTM whose input and state change each other before it sees them."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class MogrifierState(NamedTuple):
    """What Mogrifier remembers."""

    h: Tensor
    c: Tensor


@final
class Mogrifier(Cell):
    """LSTM with mutual gating of x and h.

    In the rounds 1 ... rounds, by turns and beginning with x = x_t, h = h_{t-1}:

        x = 2 sigmoid(Q_r h) * x        in the first round, the third, ...
        h = 2 sigmoid(R_r x) * h        in the second, the fourth, ...

    and then, with what x and h have become:

        i, f, g, o = W_x x + W_h h + b                        stacked in this order
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)                          and y_t = h_t

    Each Q_r is [X, H] and each R_r [H, X]; with a rank, both are products of two matrices of
    that inner size. With rounds=0, or Q = R = 0, this is an LSTM.

    Source: Melis et al. 2020, "Mogrifier LSTM", arXiv:1909.01792.
    Differs from it: `shared`; all starts out as in `torch.nn.LSTM`, Q and R as in
    `torch.nn.Linear`.

    Parameters: 4*H*(X + H) + 4*H
        + (min(rounds, 2) if shared else rounds)*(rank*(X + H) if rank else X*H)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        rounds: How often x or h is changed.
        rank: Inner size of Q and R; 0 for full matrices.
        shared: Whether all rounds use one Q and one R.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rounds: int = 5,
        rank: int = 0,
        shared: bool = False,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("rounds", rounds, low=0)
        options.whole("rank", rank, low=0)
        options.flag("shared", shared)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.rounds = rounds
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        for parameter in (self.weight_x, self.weight_h, self.bias):
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)
        sizes = [(hidden_size, input_size), (input_size, hidden_size)]
        made = min(rounds, 2) if shared else rounds
        self.gates = nn.ModuleList(_linear(*sizes[r % 2], rank) for r in range(made))  # Q, R, ...

    def initial_state(self, batch: int) -> MogrifierState:
        zeros = self.weight_h.new_zeros
        return MogrifierState(zeros(batch, self.hidden_size), zeros(batch, self.hidden_size))

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MogrifierState]:
        h, c = state
        x, h = self._mogrify(p_t, h)
        gates = torch.addmm(functional.linear(x, self.weight_x, self.bias), h, self.weight_h.t())
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, MogrifierState(h, c)

    def _mogrify(
        self,
        x: Float[Tensor, "batch {self.input_size}"],
        h: Float[Tensor, "batch {self.hidden_size}"],
    ) -> tuple[Float[Tensor, "batch {self.input_size}"], Float[Tensor, "batch {self.hidden_size}"]]:
        """Return x and h after all rounds."""
        for r in range(self.rounds):
            gate = self.gates[r % len(self.gates)]  # shared ones take turns
            if r % 2 == 0:
                x = 2 * torch.sigmoid(gate(h)) * x
            else:
                h = 2 * torch.sigmoid(gate(x)) * h
        return x, h


def _linear(inputs: int, outputs: int, rank: int) -> nn.Module:
    """Return a matrix, of full rank if `rank` is 0."""
    if not rank:
        return nn.Linear(inputs, outputs, bias=False)
    return nn.Sequential(nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False))
