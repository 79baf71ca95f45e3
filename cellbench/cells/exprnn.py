"""expRNN: a recurrent network whose state is rotated, and neither grows nor shrinks."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State, constant
from cellbench.cells.skew import antisymmetric, exponential, free_entries


class ExpRNNState(NamedTuple):
    """What ExpRNN remembers."""

    h: Tensor


class ExpRNNProjected(NamedTuple):
    """What ExpRNN makes of its inputs, V x, and of its parameters: Q."""

    driven: Tensor
    rotation: Tensor


@final
class ExpRNN(Cell):
    """Recurrent network with an orthogonal matrix that is the exponential of another.

        A   = U - U^T                            U is what is learned, above its diagonal
        Q   = e^A                                made once a sequence
        a_t = Q h_{t-1} + V x_t
        h_t = sign(a_t) * relu(|a_t| + b)        modReLU; and y_t = h_t

    A is antisymmetric, so that Q is orthogonal whatever U: with b = 0 and no input a state
    keeps its length for ever, and a gradient that goes back through Q keeps its own.

    At the start A consists of blocks (0 s; -s 0) along its diagonal, and Q turns in as many
    planes by as many angles s: from U(-pi, pi) with `init="henaff"`; with `init="cayley"`,
    -tan(r / 2) with r from U(0, pi / 2), the logarithm of the Cayley map's usual start.
    V starts as He et al. have it, b as U(-0.01, 0.01).

    Source: Lezcano-Casado & Martinez-Rubio 2019, "Cheap Orthogonal Constraints in Neural
    Networks: A Simple Parametrization of the Orthogonal and Unitary Group",
    arXiv:1901.08428.
    Differs from it: U learns at the rate of all other parameters, where the paper gives it
    an optimiser of its own and a tenth of that rate.

    Parameters: H*(H - 1)//2 + H*X + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        init: How the angles start: "henaff" or "cayley".
    """

    def __init__(self, input_size: int, hidden_size: int, *, init: str = "henaff") -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.choice("init", init, ("henaff", "cayley"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.upper = nn.Parameter(torch.zeros(free_entries(hidden_size)))  # U, row by row
        self.weight_x = nn.Parameter(torch.empty(hidden_size, input_size))  # V
        self.threshold = nn.Parameter(torch.empty(hidden_size))  # b
        self._turn(init)
        nn.init.kaiming_normal_(self.weight_x, nonlinearity="relu")
        nn.init.uniform_(self.threshold, -0.01, 0.01)

    @torch.no_grad()
    def _turn(self, init: str) -> None:
        """Put the angles beside the diagonal: in row 0, row 2 and so on."""
        rows, columns = torch.triu_indices(self.hidden_size, self.hidden_size, 1)
        block = (columns == rows + 1) & (rows % 2 == 0)
        angles = self.upper.new_empty(self.hidden_size // 2)
        if init == "henaff":
            angles.uniform_(-math.pi, math.pi)
        else:
            angles.uniform_(0, math.pi / 2).div_(2).tan_().neg_()
        self.upper[block] = angles

    def rotation(self) -> Float[Tensor, "{self.hidden_size} {self.hidden_size}"]:
        """Return Q."""
        return exponential(antisymmetric(self.upper, self.hidden_size))

    def initial_state(self, batch: int) -> ExpRNNState:
        return ExpRNNState(self.weight_x.new_zeros(batch, self.hidden_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> ExpRNNProjected:
        return ExpRNNProjected(
            functional.linear(x, self.weight_x), constant(self.rotation(), like=x)
        )

    def step(
        self, p_t: ExpRNNProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], ExpRNNState]:
        (h,) = state
        a = torch.addmm(p_t.driven, h, p_t.rotation.t())
        h = torch.sign(a) * torch.relu(torch.abs(a) + self.threshold)
        return h, ExpRNNState(h)
