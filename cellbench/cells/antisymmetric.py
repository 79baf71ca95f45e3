"""AntisymmetricRNN: a step of Euler's method through a flow that is stable by construction."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State, constant
from cellbench.cells.skew import antisymmetric, free_entries


class AntisymmetricRNNState(NamedTuple):
    """What AntisymmetricRNN remembers."""

    h: Tensor


class AntisymmetricRNNProjected(NamedTuple):
    """What AntisymmetricRNN makes of its inputs, V x + b, and of its parameters: M."""

    driven: Tensor
    matrix: Tensor


@final
class AntisymmetricRNN(Cell):
    """Recurrent network with an antisymmetric matrix: h follows a differential equation.

        M   = W - W^T - gamma I                        W is 0 but above its diagonal
        h_t = h_{t-1} + epsilon tanh(M h_{t-1} + V x_t + b)        and y_t = h_t

    and with `gated=True`

        z_t = sigmoid(M h_{t-1} + V_z x_t + b_z)
        h_t = h_{t-1} + epsilon z_t * tanh(M h_{t-1} + V x_t + b)

    The eigenvalues of W - W^T are imaginary: the flow neither grows nor dies, and gamma
    damps what a step of length epsilon overshoots. The matrix that makes the gate is the
    one that makes the candidate, so a gate costs H (X + 1) parameters only.

    At the start W ~ N(0, init_std^2 / H), V, V_z ~ N(0, 1 / X), b = 0 and b_z = 1.

    Source: Chang et al. 2019, "AntisymmetricRNN: A Dynamical System View on Recurrent Neural
    Networks", arXiv:1902.09689.
    Differs from it: epsilon, gamma and init_std, which it chooses for each task, have the
    defaults below.

    Parameters: H*(H - 1)//2 + (1 + gated)*(H*X + H)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        gated: Whether there is a gate.
        epsilon: Length of a step, above 0.
        gamma: Diffusion: how much of h is lost, within tanh.
        init_std: Of W, times the root of hidden_size.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        gated: bool = False,
        epsilon: float = 0.01,
        gamma: float = 0.01,
        init_std: float = 1.0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.flag("gated", gated)
        options.real("epsilon", epsilon, low=1e-12)
        options.real("gamma", gamma, low=0.0)
        options.real("init_std", init_std, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.gated = gated
        self.epsilon = epsilon
        self.gamma = gamma
        rows = (1 + gated) * hidden_size
        self.upper = nn.Parameter(torch.empty(free_entries(hidden_size)))  # W, row by row
        self.weight_x = nn.Parameter(torch.empty(rows, input_size))  # V, then V_z
        self.bias = nn.Parameter(torch.zeros(rows))  # b, then b_z
        nn.init.normal_(self.upper, std=init_std * hidden_size**-0.5)
        nn.init.normal_(self.weight_x, std=input_size**-0.5)
        nn.init.ones_(self.bias[hidden_size:])

    def matrix(self) -> Float[Tensor, "{self.hidden_size} {self.hidden_size}"]:
        """Return M."""
        damping = torch.eye(self.hidden_size, dtype=self.upper.dtype, device=self.upper.device)
        return antisymmetric(self.upper, self.hidden_size) - self.gamma * damping

    def initial_state(self, batch: int) -> AntisymmetricRNNState:
        return AntisymmetricRNNState(self.weight_x.new_zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> AntisymmetricRNNProjected:
        return AntisymmetricRNNProjected(
            functional.linear(x, self.weight_x, self.bias), constant(self.matrix(), like=x)
        )

    def step(
        self, p_t: AntisymmetricRNNProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], AntisymmetricRNNState]:
        (h,) = state
        pulled = functional.linear(h, p_t.matrix)
        if self.gated:
            candidate, gate = p_t.driven.chunk(2, dim=-1)
            change = torch.sigmoid(pulled + gate) * torch.tanh(pulled + candidate)
        else:
            change = torch.tanh(pulled + p_t.driven)
        h = h + self.epsilon * change
        return h, AntisymmetricRNNState(h)
