"""BRC: a bistable cell whose features see the input and themselves alone."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class BRC(HiddenGates):
    """Bistable recurrent cell.

        a   = 1 + tanh(W_a x_t + u_a * h_{t-1} + b_a)                   in (0, 2)
        c   = sigmoid(W_c x_t + u_c * h_{t-1} + b_c)                    how much to keep
        h_t = c * h_{t-1} + (1 - c) * tanh(W x_t + a * h_{t-1} + b)     and y_t = h_t

    W_a, W_c, W are stacked in this order, and so are the vectors u_a, u_c. Where a > 1 a feature
    is bistable: it holds one of two values for ever.

    Source: Vecoven et al. 2021, "A bio-inspired bistable recurrent cell allows for long-lasting
    memory", arXiv:2006.05252.
    Differs from it: the initial values, which are those of `torch.nn.GRU`.

    Parameters: 3*H*X + 2*H + 3*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    x_gates = 3
    h_gates = 2

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_h = nn.Parameter(torch.empty(2 * hidden_size))  # u_a, u_c
        nn.init.uniform_(self.weight_h, -(hidden_size**-0.5), hidden_size**-0.5)

    def step(
        self, p_t: Float[Tensor, "batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        a_x, c_x, n_x = p_t.chunk(3, dim=-1)
        u_a, u_c = self.weight_h.chunk(2)
        a = 1 + torch.tanh(a_x + u_a * h)
        c = torch.sigmoid(c_x + u_c * h)
        h = c * h + (1 - c) * torch.tanh(n_x + a * h)
        return h, HiddenState(h)
