"""CFN: a gated unit that comes to rest without input."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class CFN(HiddenGates):
    """Chaos-free network.

        f, i, n = W_x x_t + (W_h h_{t-1}, 0) + (b_f, b_i, 0)     stacked in this order

        h_t = sigmoid(f) * tanh(h_{t-1}) + sigmoid(i) * tanh(n)  and y_t = h_t

    Nothing mixes the features but the gates: where x = 0, |h_t| < |h_{t-1}|, feature by feature,
    and the state goes to 0 whatever the weights. b_f starts as 1 and b_i as -1.

    Source: Laurent & von Brecht 2017, "A recurrent neural network without chaos",
    arXiv:1612.06212.
    Differs from it: the initial values, which are those of `torch.nn.LSTM` for W_x and W_h.

    Parameters: 3*H*X + 2*H*H + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 3
    h_gates = 2

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.bias = nn.Parameter(torch.ones(2 * hidden_size))
        self.bias.detach()[hidden_size:] = -1.0

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 3*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, functional.pad(self.bias, [0, self.hidden_size]))

    def step(
        self, p_t: Float[Tensor, "batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        gates, n = torch.split(p_t, [2 * self.hidden_size, self.hidden_size], dim=-1)
        f, i = torch.sigmoid(torch.addmm(gates, h, self.weight_h.t())).chunk(2, dim=-1)
        h = f * torch.tanh(h) + i * torch.tanh(n)
        return h, HiddenState(h)
