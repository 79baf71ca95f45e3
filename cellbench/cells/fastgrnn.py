"""FastGRNN: a gate and a candidate made by the same two matrices."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class FastGRNNState(NamedTuple):
    """What FastGRNN remembers."""

    h: Tensor


@final
class FastGRNN(Cell):
    """Gated recurrent network whose gate costs a bias and two numbers.

        p_t = W x_t + U h_{t-1}                                  for gate and candidate
        z_t = sigmoid(p_t + b_z)
        c_t = tanh(p_t + b_h)
        h_t = (sigmoid(zeta) (1 - z_t) + sigmoid(nu)) * c_t + z_t * h_{t-1}

    and y_t = h_t. zeta and nu are one number each, at the start 1 and -4: with both
    sigmoids at 1 and 0, it would be an average. W, U ~ N(0, 0.1^2) and b_z = b_h = 1.

    Source: Kusupati et al. 2018, "FastGRNN: A Fast, Accurate, Stable and Tiny Kilobyte Sized
    Gated Recurrent Neural Network", arXiv:1901.02358; how all starts as in its authors'
    code, EdgeML.
    Differs from it: W and U are neither of low rank nor sparse, and nothing is quantised.

    Parameters: H*(X + H) + 2*H + 2

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.weight_x = nn.Parameter(torch.empty(hidden_size, input_size))  # W
        self.weight_h = nn.Parameter(torch.empty(hidden_size, hidden_size))  # U
        self.bias_z = nn.Parameter(torch.ones(hidden_size))
        self.bias_h = nn.Parameter(torch.ones(hidden_size))
        self.zeta = nn.Parameter(torch.full((1,), 1.0))
        self.nu = nn.Parameter(torch.full((1,), -4.0))
        nn.init.normal_(self.weight_x, std=0.1)
        nn.init.normal_(self.weight_h, std=0.1)

    def initial_state(self, batch: int) -> FastGRNNState:
        return FastGRNNState(self.weight_h.new_zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        return functional.linear(x, self.weight_x)

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], FastGRNNState]:
        (h,) = state
        p = torch.addmm(p_t, h, self.weight_h.t())
        z = torch.sigmoid(p + self.bias_z)
        c = torch.tanh(p + self.bias_h)
        h = (torch.sigmoid(self.zeta) * (1 - z) + torch.sigmoid(self.nu)) * c + z * h
        return h, FastGRNNState(h)
