"""nBRC: a bistable cell whose gates see all of the state."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class NBRC(HiddenGates):
    """Recurrently neuromodulated bistable recurrent cell.

        a   = 1 + tanh(W_a x_t + U_a h_{t-1} + b_a)               in (0, 2)
        c   = sigmoid(W_c x_t + U_c h_{t-1} + b_c)                how much to keep
        h_t = c * h_{t-1} + (1 - c) * tanh(W x_t + a * h_{t-1} + b)     and y_t = h_t

    W_a, W_c, W are stacked in this order, and so are U_a, U_c. A feature sees itself only in the
    candidate: where a > 1 it is bistable, and holds one of two values for ever.

    Source: Vecoven et al. 2021, "A bio-inspired bistable recurrent cell allows for long-lasting
    memory", arXiv:2006.05252.
    Differs from it: the initial values, which are those of `torch.nn.GRU`.

    Parameters: 3*H*X + 2*H*H + 3*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 3
    h_gates = 2

    def step(
        self, p_t: Float[Tensor, "batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        gates, n_x = torch.split(p_t, [2 * self.hidden_size, self.hidden_size], dim=-1)
        a, c = torch.addmm(gates, h, self.weight_h.t()).chunk(2, dim=-1)
        a = 1 + torch.tanh(a)
        c = torch.sigmoid(c)
        h = c * h + (1 - c) * torch.tanh(n_x + a * h)
        return h, HiddenState(h)
