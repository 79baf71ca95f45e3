"""Peephole LSTM: an LSTM whose gates look at the memory."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.stacked_gates import MemoryGates, MemoryState


@final
class PeepholeLSTM(MemoryGates):
    """Long short-term memory with peephole connections.

        i, f, g, o = W_x x_t + W_h h_{t-1} + b                       stacked in this order

        c_t = sigmoid(f + p_f * c_{t-1}) * c_{t-1} + sigmoid(i + p_i * c_{t-1}) * tanh(g)
        h_t = sigmoid(o + p_o * c_t) * tanh(c_t)                     and y_t = h_t

    The output gate looks at the memory as it is now, the others at what it was. p_i, p_f, p_o
    are vectors, stacked in this order, and start as 0.

    Source: Gers & Schmidhuber 2000, "Recurrent Nets that Time and Count", IJCNN.
    Differs from it: one memory to a gate, tanh for both squashing functions, and the initial
    values.

    Parameters: 4*H*(X + H) + 4*H + 3*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        forget_bias: Added to the forget gate's bias at the start; learned from there.
    """

    x_gates = 4
    h_gates = 4

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 0.0) -> None:
        options.real("forget_bias", forget_bias, low=0.0)
        super().__init__(input_size, hidden_size)
        self.bias.detach()[hidden_size : 2 * hidden_size] += forget_bias
        self.peepholes = nn.Parameter(torch.zeros(3 * hidden_size))

    def step(
        self, p_t: Float[Tensor, "batch 4*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MemoryState]:
        h, c = state
        i, f, g, o = torch.addmm(p_t, h, self.weight_h.t()).chunk(4, dim=-1)
        p_i, p_f, p_o = self.peepholes.chunk(3)
        i = torch.sigmoid(i + p_i * c)
        f = torch.sigmoid(f + p_f * c)
        c = f * c + i * torch.tanh(g)
        o = torch.sigmoid(o + p_o * c)
        h = o * torch.tanh(c)
        return h, MemoryState(h, c)
