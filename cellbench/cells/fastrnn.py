"""FastRNN: a recurrent network with a weighted shortcut around each step."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class FastRNNState(NamedTuple):
    """What FastRNN remembers."""

    h: Tensor


@final
class FastRNN(Cell):
    """Recurrent network with a residual connection of two learned numbers.

        c_t = tanh(W x_t + U h_{t-1} + b)
        h_t = sigmoid(alpha) c_t + sigmoid(beta) h_{t-1}        and y_t = h_t

    alpha and beta are one number each. At the start they are -3 and 3: a twentieth of h is
    new, and gradients go back almost as they are. W, U ~ N(0, 0.1^2) and b = 1.

    Source: Kusupati et al. 2018, "FastGRNN: A Fast, Accurate, Stable and Tiny Kilobyte Sized
    Gated Recurrent Neural Network", arXiv:1901.02358; how all starts as in its authors'
    code, EdgeML.
    Differs from it: W and U are neither of low rank nor sparse.

    Parameters: H*(X + H) + H + 2

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
        self.bias = nn.Parameter(torch.ones(hidden_size))
        self.alpha = nn.Parameter(torch.full((1,), -3.0))
        self.beta = nn.Parameter(torch.full((1,), 3.0))
        nn.init.normal_(self.weight_x, std=0.1)
        nn.init.normal_(self.weight_h, std=0.1)

    def initial_state(self, batch: int) -> FastRNNState:
        return FastRNNState(self.weight_h.new_zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], FastRNNState]:
        (h,) = state
        c = torch.tanh(torch.addmm(p_t, h, self.weight_h.t()))
        h = torch.sigmoid(self.alpha) * c + torch.sigmoid(self.beta) * h
        return h, FastRNNState(h)
