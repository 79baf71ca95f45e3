"""MUT2: a gated unit that architecture search found."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class MUT2(HiddenGates):
    """The second of the three best mutants of the GRU.

        z   = sigmoid(W_z x_t + U_z h_{t-1} + b_z)                    how much to overwrite
        r   = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        n   = tanh(U_n (r * h_{t-1}) + W_n x_t + b_n)
        h_t = z * n + (1 - z) * h_{t-1}                               and y_t = h_t

    W_z, W_r, W_n are stacked in this order, and so are U_z, U_r, U_n.

    Source: Jozefowicz et al. 2015, "An Empirical Exploration of Recurrent Network
    Architectures", ICML.
    Differs from it: r reads W_r x_t where the paper adds x_t itself, which is as wide as h there;
    the initial values, which are those of `torch.nn.GRU`.

    Parameters: 3*H*(X + H) + 3*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 3
    h_gates = 3

    def step(
        self, p_t: Float[Tensor, "batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        z_x, r_x, n_x = p_t.chunk(3, dim=-1)
        u_z, u_r, u_n = self.weight_h.chunk(3)
        z = torch.sigmoid(torch.addmm(z_x, h, u_z.t()))
        r = torch.sigmoid(torch.addmm(r_x, h, u_r.t()))
        n = torch.tanh(torch.addmm(n_x, r * h, u_n.t()))
        h = z * n + (1 - z) * h
        return h, HiddenState(h)
