"""MinimalRNN: a state pulled towards a map of the input."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class MinimalRNN(HiddenGates):
    """Minimal recurrent network.

        z   = tanh(W_x x_t + b)                              the input, as the state sees it
        u   = sigmoid(W_h h_{t-1} + W_z z + b_u)             how much to keep
        h_t = u * h_{t-1} + (1 - u) * z                      and y_t = h_t

    What is written does not depend on the state: no product with W_h leads into a candidate.

    Source: Chen 2017, "MinimalRNN: Toward More Interpretable and Trainable Recurrent Neural
    Networks", arXiv:1711.06788.
    Differs from it: the map of the input, which the paper leaves open, is a tanh layer; the
    initial values, which are those of `torch.nn.GRU`.

    Parameters: H*X + 2*H*H + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 1
    h_gates = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_z = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_u = nn.Parameter(torch.empty(hidden_size))
        for parameter in (self.weight_z, self.bias_u):
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 2*{self.hidden_size}"]:
        z = torch.tanh(super().project(x))
        return torch.cat([z, functional.linear(z, self.weight_z, self.bias_u)], dim=-1)

    def step(
        self, p_t: Float[Tensor, "batch 2*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        z, u = p_t.chunk(2, dim=-1)
        u = torch.sigmoid(torch.addmm(u, h, self.weight_h.t()))
        h = u * h + (1 - u) * z
        return h, HiddenState(h)
