"""MUT1: a gated unit that architecture search found."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class MUT1(HiddenGates):
    """The first of the three best mutants of the GRU.

        z   = sigmoid(W_z x_t + b_z)                                  how much to overwrite
        r   = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        n   = tanh(U_n (r * h_{t-1}) + tanh(W_n x_t) + b_n)
        h_t = z * n + (1 - z) * h_{t-1}                               and y_t = h_t

    W_z, W_r, W_n are stacked in this order, and so are U_r, U_n.

    Source: Jozefowicz et al. 2015, "An Empirical Exploration of Recurrent Network
    Architectures", ICML.
    Differs from it: W_n, since the paper adds tanh(x_t) itself, which is as wide as h there;
    the initial values, which are those of `torch.nn.GRU`.

    Parameters: 3*H*X + 2*H*H + 3*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 3
    h_gates = 2

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 3*{self.hidden_size}"]:
        w_zr, w_n = torch.split(self.weight_x, [2 * self.hidden_size, self.hidden_size])
        b_zr, b_n = torch.split(self.bias, [2 * self.hidden_size, self.hidden_size])
        n_x = torch.tanh(functional.linear(x, w_n)) + b_n
        return torch.cat([functional.linear(x, w_zr, b_zr), n_x], dim=-1)

    def step(
        self, p_t: Float[Tensor, "batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        z, r_x, n_x = p_t.chunk(3, dim=-1)
        u_r, u_n = self.weight_h.chunk(2)
        z = torch.sigmoid(z)
        r = torch.sigmoid(torch.addmm(r_x, h, u_r.t()))
        n = torch.tanh(torch.addmm(n_x, r * h, u_n.t()))
        h = z * n + (1 - z) * h
        return h, HiddenState(h)
