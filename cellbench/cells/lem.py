"""LEM: a long expressive memory, with a time step of its own for each unit and moment."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class LEMState(NamedTuple):
    """What LEM remembers: y, which is the output, and z."""

    y: Tensor
    z: Tensor


@final
class LEM(Cell):
    """Long expressive memory.

        r_t = dt sigmoid(W_1 y_{t-1} + V_1 x_t + b_1)                 time step of y
        s_t = dt sigmoid(W_2 y_{t-1} + V_2 x_t + b_2)                 time step of z
        z_t = (1 - s_t) * z_{t-1} + s_t * tanh(W_z y_{t-1} + V_z x_t + b_z)
        y_t = (1 - r_t) * y_{t-1} + r_t * tanh(W_y z_t + V_y x_t + b_y)

    y_t takes the new z_t; the output is y_t. While dt is at most 1, both are averages of
    what they were and of numbers between -1 and 1, and so stay between these.

    W_1, W_2, W_z and V_1, V_2, V_z, V_y are stacked in this order.

    Source: Rusch et al. 2022, "Long Expressive Memory for Sequence Modeling",
    arXiv:2110.04744.
    Differs from it: in nothing. All starts as U(-1/sqrt(H), 1/sqrt(H)), as in its authors'
    code, which has two vectors for each of the biases.

    Parameters: 4*H*(X + H) + 4*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of y and z and of each output vector.
        dt: Longest time step, above 0.
    """

    def __init__(self, input_size: int, hidden_size: int, *, dt: float = 1.0) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.real("dt", dt, low=1e-12)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.dt = dt
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))  # V
        self.weight_y = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))  # W_1, W_2, W_z
        self.weight_z = nn.Parameter(torch.empty(hidden_size, hidden_size))  # W_y
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def initial_state(self, batch: int) -> LEMState:
        zeros = self.weight_z.new_zeros
        return LEMState(zeros(batch, self.hidden_size), zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 4*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch 4*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], LEMState]:
        y, z = state
        read = 3 * self.hidden_size  # of y; the rest is of z
        r, s, to_z = torch.addmm(p_t[:, :read], y, self.weight_y.t()).chunk(3, dim=-1)
        s = self.dt * torch.sigmoid(s)
        z = (1 - s) * z + s * torch.tanh(to_z)
        r = self.dt * torch.sigmoid(r)
        to_y = torch.addmm(p_t[:, read:], z, self.weight_z.t())
        y = (1 - r) * y + r * torch.tanh(to_y)
        return y, LEMState(y, z)
