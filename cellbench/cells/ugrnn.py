"""UGRNN: a simple network that keeps by one gate."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class UGRNN(HiddenGates):
    """Update gate recurrent network.

        c, g = W_x x_t + W_h h_{t-1} + b                          stacked in this order

        h_t = sigmoid(g) * h_{t-1} + (1 - sigmoid(g)) * tanh(c)   and y_t = h_t

    Source: Collins et al. 2017, "Capacity and Trainability in Recurrent Neural Networks",
    arXiv:1611.09913.
    Differs from it: the initial values but for forget_bias, which are those of `torch.nn.GRU`.

    Parameters: 2*H*(X + H) + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        forget_bias: Added to the gate's bias at the start; learned from there.
    """

    x_gates = 2
    h_gates = 2

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0) -> None:
        options.real("forget_bias", forget_bias, low=0.0)
        super().__init__(input_size, hidden_size)
        self.bias.detach()[hidden_size:] += forget_bias

    def step(
        self, p_t: Float[Tensor, "batch 2*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        c, g = torch.addmm(p_t, h, self.weight_h.t()).chunk(2, dim=-1)
        g = torch.sigmoid(g)
        h = g * h + (1 - g) * torch.tanh(c)
        return h, HiddenState(h)
