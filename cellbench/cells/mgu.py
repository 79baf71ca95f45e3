"""MGU: a gated unit with one gate."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class MGU(HiddenGates):
    """Minimal gated unit.

        f   = sigmoid(W_f x_t + U_f h_{t-1} + b_f)              how much to overwrite
        n   = tanh(W_n x_t + U_n (f * h_{t-1}) + b_n)           what to write
        h_t = (1 - f) * h_{t-1} + f * n                         and y_t = h_t

    f, n are stacked in this order. It is a GRU whose two gates are one; other than in an LSTM,
    a forget gate that is open forgets.

    Source: Zhou et al. 2016, "Minimal Gated Unit for Recurrent Neural Networks",
    arXiv:1603.09420.
    Differs from it: the initial values, which are those of `torch.nn.GRU`.

    Parameters: 2*H*(X + H) + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 2
    h_gates = 2

    def step(
        self, p_t: Float[Tensor, "batch 2*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        f_x, n_x = p_t.chunk(2, dim=-1)
        u_f, u_n = self.weight_h.chunk(2)
        f = torch.sigmoid(torch.addmm(f_x, h, u_f.t()))
        n = torch.tanh(torch.addmm(n_x, f * h, u_n.t()))
        h = (1 - f) * h + f * n
        return h, HiddenState(h)
