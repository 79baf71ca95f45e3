"""RHN: several highway layers between two steps of time."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class RHNState(NamedTuple):
    """What RHN remembers."""

    s: Tensor


@final
class RHN(Cell):
    """Recurrent highway network.

    For each of the layers l = 1 ... depth, of which the first alone sees the input:

        a, g = W x_t [l = 1] + R_l s + b_l       stacked in this order
        g    = sigmoid(g)                        how much to transform
        s    = g * tanh(a) + (1 - g) * s         s_{t-1} before the first layer,

    and s_t = y_t is s after the last: more depth between two steps, while what no gate opens is
    carried through all of it.

    Source: Zilly et al. 2017, "Recurrent Highway Networks", arXiv:1607.03474.
    Differs from it: the carry gate is always 1 - g, where the paper also allows one of its own;
    all but the biases of g starts out as in `torch.nn.Linear`.

    Parameters: 2*H*X + depth*(2*H*H + 2*H)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        depth: Layers between two steps.
        gate_bias: Biases of g at the start; below 0 to let s through; learned from there.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, depth: int = 3, gate_bias: float = -2.0
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("depth", depth, low=1)
        options.real("gate_bias", gate_bias, low=-50.0, below=50.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.weight_x = nn.Parameter(torch.empty(2 * hidden_size, input_size))  # W
        self.weight_s = nn.Parameter(torch.empty(depth, 2 * hidden_size, hidden_size))  # R
        self.bias = nn.Parameter(torch.empty(depth, 2 * hidden_size))
        nn.init.uniform_(self.weight_x, -(input_size**-0.5), input_size**-0.5)
        for parameter in (self.weight_s, self.bias):
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)
        nn.init.constant_(self.bias[:, hidden_size:], gate_bias)

    def initial_state(self, batch: int) -> RHNState:
        return RHNState(self.weight_s.new_zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 2*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias[0])

    def step(
        self, p_t: Float[Tensor, "batch 2*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RHNState]:
        (s,) = state
        added = [p_t, *self.bias[1:]]
        for outside, weight in zip(added, self.weight_s, strict=True):
            a, g = torch.addmm(outside, s, weight.t()).chunk(2, dim=-1)
            g = torch.sigmoid(g)
            s = g * torch.tanh(a) + (1 - g) * s
        return s, RHNState(s)
