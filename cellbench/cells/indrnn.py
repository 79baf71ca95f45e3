"""IndRNN: a recurrent network whose units see themselves only."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.errors import OptionError


class IndRNNState(NamedTuple):
    """What IndRNN remembers."""

    h: Tensor


@final
class IndRNN(Cell):
    """Independently recurrent network: each unit has one recurrent weight, its own.

        h_t = phi(W x_t + u * h_{t-1} + b)    and y_t = h_t

    phi is relu or tanh. With relu, a state without input goes as u^t: a unit remembers for
    long if its u is near 1, and explodes if it is above for long. With `steps=T` no |u| is
    above 2^(1/T): over T steps, nothing grows by more than a factor of 2.

    At the start u ~ U(0, 1), or U(0, 2^(1/T)) with T given. With `init="long"`, which the
    paper has for the last of several layers, u ~ U(2^(-1/T), 2^(1/T)): no unit forgets or
    amplifies more than half or twice in T steps. W ~ U(-r, r), r^2 = 6 / (65 X); b = 0.

    Source: Li et al. 2018, "Independently Recurrent Neural Network (IndRNN): Building A
    Longer and Deeper RNN", arXiv:1803.04831; W and b as in its authors' code.
    Differs from it: a u that is out of bounds is read as the bound, and gets no gradient;
    its authors' code puts u itself back. The bound is for relu, but holds for tanh too.

    Parameters: H*X + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        nonlinearity: "relu" or "tanh".
        steps: T, over which the recurrent weights are kept from exploding; 0 for no bound.
        init: Where u starts: "short" or "long"; the latter needs `steps`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "relu",
        steps: int = 0,
        init: str = "short",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.choice("nonlinearity", nonlinearity, ("relu", "tanh"))
        options.whole("steps", steps, low=0)
        options.choice("init", init, ("short", "long"))
        if init == "long" and not steps:
            raise OptionError("steps must be at least 1 for init='long', not 0.")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.nonlinearity = nonlinearity
        self.steps = steps
        self.bound = 2 ** (1 / steps) if steps else float("inf")
        self.weight_x = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(hidden_size))  # u
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        nn.init.kaiming_uniform_(self.weight_x, a=8)
        high = self.bound if steps else 1.0
        nn.init.uniform_(self.weight_h, 1 / high if init == "long" else 0.0, high)

    def initial_state(self, batch: int) -> IndRNNState:
        return IndRNNState(self.weight_h.new_zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], IndRNNState]:
        (h,) = state
        u = self.weight_h.clamp(-self.bound, self.bound) if self.steps else self.weight_h
        phi = torch.relu if self.nonlinearity == "relu" else torch.tanh
        h = phi(torch.addcmul(p_t, u, h))
        return h, IndRNNState(h)
