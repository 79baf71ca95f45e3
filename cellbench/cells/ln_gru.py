"""LN-GRU: a GRU whose gates are normalised."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.gates import GateNorm, apart, by_gate
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class LNGRU(HiddenGates):
    """Gated recurrent unit with layer normalisation.

        r_x, z_x, n_x = LN(W_x x_t + b)            r_h, z_h, n_h = LN(W_h h_{t-1})

        r   = sigmoid(r_x + r_h)                   how much of the past the candidate sees
        z   = sigmoid(z_x + z_h)                   how much to overwrite
        n   = tanh(n_x + r * n_h)                  what to write
        h_t = (1 - z) * h_{t-1} + z * n            and y_t = h_t

    LN sees the features of one gate, and of x or h, only; each has its own gain and shift.

    Source: Ba et al. 2016, "Layer Normalization", arXiv:1607.06450.
    Differs from it: r and z are normalised apart, as n is; b, ln_eps; W_x and W_h start out
    orthogonal, gate by gate, and b as 0.

    Parameters: 3*H*(X + H) + 3*H + 12*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        ln_eps: Added to each variance.
    """

    x_gates = 3
    h_gates = 3

    def __init__(self, input_size: int, hidden_size: int, *, ln_eps: float = 1e-5) -> None:
        options.real("ln_eps", ln_eps, low=1e-12)
        super().__init__(input_size, hidden_size)
        self.norm_x = GateNorm(3, hidden_size, eps=ln_eps)
        self.norm_h = GateNorm(3, hidden_size, eps=ln_eps)
        by_gate(nn.init.orthogonal_, self.weight_x, gates=3)
        by_gate(nn.init.orthogonal_, self.weight_h, gates=3)
        nn.init.zeros_(self.bias)

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 3*{self.hidden_size}"]:
        gates = super().project(x)
        normal: Tensor = self.norm_x(apart(gates.flatten(0, 1), 3))
        return normal.transpose(0, 1).reshape(gates.shape)

    def step(
        self, p_t: Float[Tensor, "batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        r_x, z_x, n_x = p_t.chunk(3, dim=-1)
        r_h, z_h, n_h = self.norm_h(apart(torch.mm(h, self.weight_h.t()), 3)).unbind(0)
        r = torch.sigmoid(r_x + r_h)
        z = torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + r * n_h)
        h = (1 - z) * h + z * n
        return h, HiddenState(h)
