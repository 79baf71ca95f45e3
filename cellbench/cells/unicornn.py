"""UnICORNN: undamped oscillators, each by itself, whose steps can be taken back."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class UnICORNNState(NamedTuple):
    """What UnICORNN remembers: where each oscillator is, and how fast it moves."""

    y: Tensor
    z: Tensor


@final
class UnICORNN(Cell):
    """Undamped independent controlled oscillatory recurrent network.

        s   = dt sigmoid(c)                                           an oscillator's own clock
        z_t = z_{t-1} - s * (tanh(w * y_{t-1} + V x_t + b) + alpha y_{t-1})       velocity
        y_t = y_{t-1} + s * z_t                                                   position

    No oscillator sees another: w is a vector, and layers mix them. The output is y_t.

    y_t takes the new z_t, which makes the step a symplectic one: it preserves volume in
    (y, z), and is undone by the same formulas backwards, z_{t-1} from y_{t-1} = y_t - s z_t.
    So gradients neither explode nor vanish exponentially, whatever the weights.

    At the start w ~ U(0, 1), c ~ U(-0.1, 0.1), V ~ U(-r, r), r^2 = 6 / (65 X), and b = 0.

    Source: Rusch & Mishra 2021, "UnICORNN: A recurrent model for learning very long time
    dependencies", arXiv:2103.05487; how weights start as in its authors' code.
    Differs from it: one layer, where the paper stacks several; dt and alpha, which it
    chooses for each task, are by default those of its code for permuted MNIST.

    Parameters: H*X + 3*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Oscillators: features of the state's parts and of each output vector.
        dt: Length of a step, above 0; c halves it at the start.
        alpha: How strongly an oscillator is pulled back, apart from its tanh.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, dt: float = 0.19, alpha: float = 30.65
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.real("dt", dt, low=1e-12)
        options.real("alpha", alpha, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.dt = dt
        self.alpha = alpha
        self.weight_x = nn.Parameter(torch.empty(hidden_size, input_size))  # V
        self.weight_y = nn.Parameter(torch.empty(hidden_size))  # w
        self.clock = nn.Parameter(torch.empty(hidden_size))  # c
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        nn.init.kaiming_uniform_(self.weight_x, a=8)
        nn.init.uniform_(self.weight_y, 0.0, 1.0)
        nn.init.uniform_(self.clock, -0.1, 0.1)

    def initial_state(self, batch: int) -> UnICORNNState:
        zeros = self.weight_y.new_zeros
        return UnICORNNState(zeros(batch, self.hidden_size), zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], UnICORNNState]:
        y, z = state
        s = self.dt * torch.sigmoid(self.clock)
        pull = torch.tanh(torch.addcmul(p_t, self.weight_y, y)) + self.alpha * y
        z = z - s * pull
        y = y + s * z
        return y, UnICORNNState(y, z)
