"""subLSTM: an LSTM whose gates subtract, as inhibition does."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import MemoryGates, MemoryState


@final
class SubLSTM(MemoryGates):
    """LSTM with subtractive gates.

        i, f, z, o = sigmoid(W_x x_t + W_h h_{t-1} + b)    stacked in this order

        c_t = f * c_{t-1} + z - i                          keep, and write what is not held back
        h_t = sigmoid(c_t) - o                             show, and y_t = h_t

    Source: Costa et al. 2017, "Cortical microcircuits as gated-recurrent neural networks",
    arXiv:1711.02448.
    Differs from it: the initial values, which are those of `torch.nn.LSTM`.

    Parameters: 4*H*(X + H) + 4*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 4
    h_gates = 4

    def step(
        self, p_t: Float[Tensor, "batch 4*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MemoryState]:
        h, c = state
        gates = torch.sigmoid(torch.addmm(p_t, h, self.weight_h.t()))
        i, f, z, o = gates.chunk(4, dim=-1)
        c = f * c + z - i
        h = torch.sigmoid(c) - o
        return h, MemoryState(h, c)
