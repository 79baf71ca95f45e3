"""RNN: Elman's simple recurrent network."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.torch_layer import TorchLayer


class RNNState(NamedTuple):
    """What RNN remembers."""

    h: Tensor


@final
class RNN(TorchLayer):
    """Simple recurrent network.

        h_t = phi(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)    and y_t = h_t

    phi is tanh or relu.

    Source: Elman 1990, "Finding Structure in Time", Cognitive Science 14.
    Differs from it: tanh or relu where the paper has the logistic function; two bias
    vectors, of which one would do, and the initial values, both as in `torch.nn.RNN`.

    Parameters: H*(X + H) + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        nonlinearity: "tanh" or "relu".
    """

    gates = 1
    layer = nn.RNN

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh") -> None:
        options.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size)
        self.nonlinearity = nonlinearity

    def initial_state(self, batch: int) -> RNNState:
        return RNNState(self.weight_hh.new_zeros(batch, self.hidden_size))

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RNNState]:
        (h,) = state
        phi = torch.tanh if self.nonlinearity == "tanh" else torch.relu
        h = phi(
            functional.linear(p_t, self.weight_ih, self.bias_ih)
            + functional.linear(h, self.weight_hh, self.bias_hh)
        )
        return h, RNNState(h)

    def parallel(
        self, p: Float[Tensor, "time batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], RNNState]:
        (h,) = state
        function = torch.rnn_tanh if self.nonlinearity == "tanh" else torch.rnn_relu
        y, last = self.kernel(function, p, h.unsqueeze(0))
        return y, RNNState(last.squeeze(0))
