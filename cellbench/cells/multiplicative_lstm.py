"""Multiplicative LSTM: each input has a transition of its own."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import MemoryGates, MemoryState


@final
class MultiplicativeLSTM(MemoryGates):
    """LSTM whose gates read, in place of h, a product of x and h.

        m   = (W_mx x_t) * (W_mh h_{t-1})              h, as this input has it

        i, f, g, o = W_x x_t + W_h m + b               stacked in this order
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)                   and y_t = h_t

    W_h diag(W_mx x_t) W_mh is a transition matrix for each input. Where x_t = 0, h is not seen.

    Source: Krause et al. 2016, "Multiplicative LSTM for Sequence Modelling", arXiv:1609.07959.
    Differs from it: b; the initial values, which are those of `torch.nn.LSTM`.

    Parameters: 5*H*X + 5*H*H + 4*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 4
    h_gates = 4

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_mx = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_mh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        for weight in (self.weight_mx, self.weight_mh):
            nn.init.uniform_(weight, -(hidden_size**-0.5), hidden_size**-0.5)

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 5*{self.hidden_size}"]:
        factors = functional.linear(x, self.weight_mx)
        return torch.cat([factors, functional.linear(x, self.weight_x, self.bias)], dim=-1)

    def step(
        self, p_t: Float[Tensor, "batch 5*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MemoryState]:
        h, c = state
        factor, gates = torch.split(p_t, [self.hidden_size, 4 * self.hidden_size], dim=-1)
        m = factor * torch.mm(h, self.weight_mh.t())
        i, f, g, o = torch.addmm(gates, m, self.weight_h.t()).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, MemoryState(h, c)
