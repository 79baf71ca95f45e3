"""coRNN: a network of coupled, driven and damped oscillators."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class CoRNNState(NamedTuple):
    """What CoRNN remembers: where each oscillator is, and how fast it moves."""

    y: Tensor
    z: Tensor


@final
class CoRNN(Cell):
    """Coupled oscillatory recurrent network.

        z_t = z_{t-1} + dt (tanh(W y_{t-1} + W_z z_{t-1} + V x_t + b)        velocity
                            - gamma y_{t-1} - epsilon z_{t-1})
        y_t = y_{t-1} + dt z_t                                               position

    gamma pulls each oscillator back to 0, with a frequency of its root; epsilon damps it.
    The output is y_t. Both gradients and states stay bounded while dt is small against
    1 / gamma and 1 / epsilon.

    Source: Rusch & Mishra 2021, "Coupled Oscillatory Recurrent Neural Network (coRNN): An
    accurate and (gradient) stable architecture for learning long time dependencies",
    arXiv:2010.00951; z_{t-1} in the damping, and how weights start, as in its authors' code.
    Differs from it: dt, gamma and epsilon, which it chooses for each task, are by default
    those of its code for sequential MNIST; for the adding problem it has 0.06, 66 and 15.

    Parameters: H*(X + 2*H) + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Oscillators: features of the state's parts and of each output vector.
        dt: Length of a step, above 0.
        gamma: How strongly an oscillator is pulled back.
        epsilon: How strongly it is damped.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 0.042,
        gamma: float = 2.7,
        epsilon: float = 4.7,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.real("dt", dt, low=1e-12)
        options.real("gamma", gamma, low=0.0)
        options.real("epsilon", epsilon, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.dt = dt
        self.gamma = gamma
        self.epsilon = epsilon
        self.weight_x = nn.Parameter(torch.empty(hidden_size, input_size))  # V
        self.weight_y = nn.Parameter(torch.empty(hidden_size, hidden_size))  # W
        self.weight_z = nn.Parameter(torch.empty(hidden_size, hidden_size))  # W_z
        self.bias = nn.Parameter(torch.empty(hidden_size))
        reach = (input_size + 2 * hidden_size) ** -0.5  # one layer of [x; y; z] in the code
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -reach, reach)

    def initial_state(self, batch: int) -> CoRNNState:
        zeros = self.weight_y.new_zeros
        return CoRNNState(zeros(batch, self.hidden_size), zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], CoRNNState]:
        y, z = state
        drive = torch.addmm(torch.addmm(p_t, y, self.weight_y.t()), z, self.weight_z.t())
        z = z + self.dt * (torch.tanh(drive) - self.gamma * y - self.epsilon * z)
        y = y + self.dt * z
        return y, CoRNNState(y, z)
