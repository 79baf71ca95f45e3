"""S4D: a diagonal state space for each feature."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import ParallelCell, State, constant
from cellbench.cells.diagonal import (
    DISCRETISATIONS,
    DiagonalProjected,
    DiagonalState,
    last,
    log_uniform,
    normal_hippo,
    turn,
    turn_through,
)

STARTS = ("lin", "inv", "legs")


@final
class S4D(ParallelCell):
    """Diagonal state spaces: each feature has a linear system in continuous time of its own.

        u_t = W x_t + b                           one number for each system
        s' = lambda * s + u                       lambda = -exp(log_decay) + i frequency
        kept = exp(lambda step)                   ... over one step of time with u held ("zoh"),
        gain = (kept - 1) / lambda                which each system has of its own; or
        kept = (1 + lambda step / 2) gain / step  gain = step / (1 - lambda step / 2) ("bilinear")
        s_t = kept * s_{t-1} + gain * u_t
        y_t = 2 Re(sum of C s_t) + D * u_t        ... over the states of a system

    Of a pair of conjugate states one is kept, and counts twice. What each system is to u is
    a convolution, with 2 Re(sum of C kept^k gain) in k steps.

    At the start every system has the eigenvalues, n = 0 ... pairs - 1 and N = 2 pairs,

        -1/2 + i pi n                                        ("lin")
        -1/2 + i (N / pi) (N / (2 n + 1) - 1)                ("inv")
        those of the normal part of HiPPO-LegS               ("legs")

    Source: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space
    Models", arXiv:2206.11893.
    Differs from it: W, as x may have another size than y; B is 1 and not learned, since C
    takes its place. The activation and mixing of features after it are left to the model.

    Parameters: H*X + 3*H + 4*H*pairs

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector, and how many systems there are.
        pairs: Pairs of conjugate states of each system: half its size.
        discretisation: "zoh" or "bilinear".
        init: The eigenvalues at the start: "lin", "inv" or "legs".
        step_min: Smallest step of time at the start.
        step_max: Largest step of time at the start; drawn evenly by its logarithm.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        pairs: int = 32,
        discretisation: str = "zoh",
        init: str = "lin",
        step_min: float = 1e-3,
        step_max: float = 0.1,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("pairs", pairs, low=1)
        options.choice("discretisation", discretisation, tuple(DISCRETISATIONS))
        options.choice("init", init, STARTS)
        options.real("step_min", step_min, low=1e-9)
        options.real("step_max", step_max, low=step_min)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.pairs = pairs
        self.discretise = DISCRETISATIONS[discretisation]
        self.enter = nn.Linear(input_size, hidden_size)
        self.log_decay = nn.Parameter(torch.full((hidden_size, pairs), math.log(0.5)))
        self.frequency = nn.Parameter(_frequencies(init, pairs).repeat(hidden_size, 1))
        self.log_step = nn.Parameter(log_uniform(step_min, step_max, hidden_size))
        self.c_re = nn.Parameter(torch.randn(hidden_size, pairs) / math.sqrt(2))
        self.c_im = nn.Parameter(torch.randn(hidden_size, pairs) / math.sqrt(2))
        self.d = nn.Parameter(torch.randn(hidden_size))

    def initial_state(self, batch: int) -> DiagonalState:
        zeros = self.d.new_zeros(batch, self.hidden_size, self.pairs)
        return DiagonalState(zeros, zeros.clone())

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> DiagonalProjected:
        rate = -self.log_decay.exp(), self.frequency
        kept, gain = self.discretise(rate, self.log_step.exp().unsqueeze(-1))
        u = self.enter(x)
        return DiagonalProjected(
            u.unsqueeze(-1) * gain[0],
            u.unsqueeze(-1) * gain[1],
            self.d * u,
            constant(kept[0], like=x),
            constant(kept[1], like=x),
        )

    def step(
        self, p_t: DiagonalProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], DiagonalState]:
        after = turn(p_t, state)
        return self._read(after) + p_t.skip, after

    def parallel(
        self, p: DiagonalProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], DiagonalState]:
        states = turn_through(p, state)
        return self._read(states) + p.skip, last(states)

    def _read(self, state: DiagonalState) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        """Return 2 Re(sum of C s)."""
        return 2 * (self.c_re * state.re - self.c_im * state.im).sum(-1)


def _frequencies(init: str, pairs: int) -> Float[Tensor, "{pairs}"]:
    n = torch.arange(pairs)
    if init == "lin":
        return math.pi * n
    if init == "inv":
        size = 2 * pairs
        return size / math.pi * (size / (2 * n + 1) - 1)
    return normal_hippo(2 * pairs)[0].imag.to(torch.get_default_dtype())
