"""LRU: a linear recurrence of independent complex numbers."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State, constant
from cellbench.cells.diagonal import (
    DiagonalProjected,
    DiagonalState,
    last,
    real_part,
    turn,
    turn_through,
)


@final
class LRU(ParallelCell):
    """Linear recurrent unit: each complex number of the state turns and shrinks by itself.

        lambda = exp(-exp(nu) + i exp(theta))           inside the unit circle, whatever nu is
        s_t = lambda * s_{t-1} + exp(log_gamma) * (B x_t)
        y_t = Re(C s_t) + D x_t

    At the start lambda is spread evenly over a ring, by its area, and gamma is
    sqrt(1 - |lambda|^2), which makes each s as big as what is added to it, for white x.

    Source: Orvieto et al. 2023, "Resurrecting Recurrent Neural Networks for Long Sequences",
    arXiv:2303.06349.
    Differs from it: D is a matrix, as x may have another size than y, and starts from
    N(0, 1 / X). The block around it (normalisation, GLU, skip) is left to the model.

    Parameters: 3*(state_size or H) + 2*(state_size or H)*(X + H) + H*X

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
        state_size: Complex numbers in the state; 0 for hidden_size.
        r_min: Smallest |lambda| at the start.
        r_max: Largest |lambda| at the start.
        max_phase: Largest angle of lambda at the start, in radians.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        state_size: int = 0,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("state_size", state_size, low=0)
        options.real("r_min", r_min, low=0.0, below=1.0)
        options.between("r_max", r_max, low=r_min, high=1.0)
        options.real("max_phase", max_phase, low=1e-3)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.state_size = state_size or hidden_size
        size = self.state_size
        # Not at 0, of which there is no logarithm; nor quite at the unit circle, for gamma.
        area = torch.rand(size).clamp(1e-6, 1 - 1e-6) * (r_max**2 - r_min**2) + r_min**2
        phase = torch.rand(size).clamp(min=1e-6) * max_phase
        self.nu = nn.Parameter((-0.5 * area.log()).log())
        self.theta = nn.Parameter(phase.log())
        self.log_gamma = nn.Parameter(0.5 * (1 - area).log())
        self.b = nn.Parameter(torch.randn(2 * size, input_size) / math.sqrt(2 * input_size))
        self.c = nn.Parameter(torch.randn(hidden_size, 2 * size) / math.sqrt(size))
        self.d = nn.Parameter(torch.randn(hidden_size, input_size) / math.sqrt(input_size))

    def initial_state(self, batch: int) -> DiagonalState:
        zeros = self.nu.new_zeros
        return DiagonalState(zeros(batch, self.state_size), zeros(batch, self.state_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> DiagonalProjected:
        gamma = self.log_gamma.exp().repeat(2).unsqueeze(1)
        added = functional.linear(x, gamma * self.b)
        size, angle = torch.exp(-self.nu.exp()), self.theta.exp()
        added_re, added_im = added.chunk(2, dim=-1)
        return DiagonalProjected(
            added_re,
            added_im,
            functional.linear(x, self.d),
            constant(size * torch.cos(angle), like=x),
            constant(size * torch.sin(angle), like=x),
        )

    def step(
        self, p_t: DiagonalProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], DiagonalState]:
        after = turn(p_t, state)
        return real_part(self.c, after) + p_t.skip, after

    def parallel(
        self, p: DiagonalProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], DiagonalState]:
        states = turn_through(p, state)
        return real_part(self.c, states) + p.skip, last(states)
