"""RAN: an LSTM that writes nothing but its input."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.stacked_gates import MemoryGates, MemoryState


@final
class RAN(MemoryGates):
    """Recurrent additive network.

        i, f, n = W_x x_t + (W_h h_{t-1}, 0) + (b_i, b_f, 0)     stacked in this order

        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * n              what is written is linear in x
        h_t = tanh(c_t), or c_t                                  and y_t = h_t

    Unrolled, c_t is a weighted sum of the inputs seen; the state takes part in the weights only.

    Source: Lee et al. 2017, "Recurrent Additive Networks", arXiv:1705.07393.
    Differs from it: the initial values, which are those of `torch.nn.LSTM`.

    Parameters: 3*H*X + 2*H*H + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        output: What is shown of c: "tanh" or "identity".
    """

    x_gates = 3
    h_gates = 2

    def __init__(self, input_size: int, hidden_size: int, *, output: str = "tanh") -> None:
        options.choice("output", output, ("tanh", "identity"))
        super().__init__(input_size, hidden_size)
        self.squashed = output == "tanh"
        self.bias = nn.Parameter(self.bias.detach()[: 2 * hidden_size].clone())

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 3*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, functional.pad(self.bias, [0, self.hidden_size]))

    def step(
        self, p_t: Float[Tensor, "batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MemoryState]:
        h, c = state
        gates, n = torch.split(p_t, [2 * self.hidden_size, self.hidden_size], dim=-1)
        i, f = torch.sigmoid(torch.addmm(gates, h, self.weight_h.t())).chunk(2, dim=-1)
        c = f * c + i * n
        h = torch.tanh(c) if self.squashed else c
        return h, MemoryState(h, c)
