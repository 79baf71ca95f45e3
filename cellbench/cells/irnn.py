"""IRNN: a ReLU network that starts out as the identity."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench.cells.base import State
from cellbench.cells.torch_layer import TorchLayer


class IRNNState(NamedTuple):
    """What IRNN remembers."""

    h: Tensor


@final
class IRNN(TorchLayer):
    """Simple recurrent network of rectified linear units, begun at the identity.

        h_t = relu(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)    and y_t = h_t

    At the start W_hh = I, both biases are 0 and W_ih ~ N(0, 0.001^2): a state that is not
    negative is held as it is, and so is its gradient. Nothing bounds either later on:
    clip the gradient.

    Source: Le et al. 2015, "A Simple Way to Initialize Recurrent Networks of Rectified
    Linear Units", arXiv:1504.00941.
    Differs from it: two bias vectors, of which one would do, as in `torch.nn.RNN`.

    Parameters: H*(X + H) + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    gates = 1
    layer = nn.RNN

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        nn.init.normal_(self.weight_ih, std=0.001)
        nn.init.eye_(self.weight_hh)
        nn.init.zeros_(self.bias_ih)
        nn.init.zeros_(self.bias_hh)

    def initial_state(self, batch: int) -> IRNNState:
        return IRNNState(self.weight_hh.new_zeros(batch, self.hidden_size))

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], IRNNState]:
        (h,) = state
        h = torch.relu(
            functional.linear(p_t, self.weight_ih, self.bias_ih)
            + functional.linear(h, self.weight_hh, self.bias_hh)
        )
        return h, IRNNState(h)

    def parallel(
        self, p: Float[Tensor, "time batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], IRNNState]:
        (h,) = state
        y, last = self.kernel(torch.rnn_relu, p, h.unsqueeze(0))
        return y, IRNNState(last.squeeze(0))
