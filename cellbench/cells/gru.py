"""GRU: a gated unit whose state is its output."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench.cells.base import State
from cellbench.cells.torch_layer import TorchLayer


class GRUState(NamedTuple):
    """What GRU remembers."""

    h: Tensor


@final
class GRU(TorchLayer):
    """Gated recurrent unit, in the form that cuDNN computes.

        r_x, z_x, n_x = W_ih x_t + b_ih        stacked in this order
        r_h, z_h, n_h = W_hh h_{t-1} + b_hh

        r   = sigmoid(r_x + r_h)               how much of the past the candidate sees
        z   = sigmoid(z_x + z_h)               how much to keep
        n   = tanh(n_x + r * n_h)              what to write
        h_t = (1 - z) * n + z * h_{t-1}        and y_t = h_t

    Source: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder",
    arXiv:1406.1078.
    Differs from it: r acts after the product with W_hh, and on b_hh, not before it; the
    bias vectors and the initial values are those of `torch.nn.GRU`.

    Parameters: 3*H*(X + H) + 6*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
    """

    gates = 3
    layer = nn.GRU

    def initial_state(self, batch: int) -> GRUState:
        return GRUState(self.weight_hh.new_zeros(batch, self.hidden_size))

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], GRUState]:
        (h,) = state
        r_x, z_x, n_x = functional.linear(p_t, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        r_h, z_h, n_h = functional.linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        r = torch.sigmoid(r_x + r_h)
        z = torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + r * n_h)
        h = (1 - z) * n + z * h
        return h, GRUState(h)

    def parallel(
        self, p: Float[Tensor, "time batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], GRUState]:
        (h,) = state
        y, last = self.kernel(torch.gru, p, h.unsqueeze(0))
        return y, GRUState(last.squeeze(0))
