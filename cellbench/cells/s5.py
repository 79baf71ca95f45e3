"""S5: a diagonal state space that all inputs share."""

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
    DISCRETISATIONS,
    DiagonalProjected,
    DiagonalState,
    last,
    log_uniform,
    normal_hippo,
    real_part,
    times,
    turn,
    turn_through,
)


@final
class S5(ParallelCell):
    """Simplified state space layer: one linear system in continuous time, sampled.

        s' = lambda * s + B x                     lambda = -exp(log_decay) + i frequency
        kept = exp(lambda step)                   ... over one step of time with x held ("zoh"),
        gain = (kept - 1) / lambda                which each s has of its own; or
        kept = (1 + lambda step / 2) gain / step  gain = step / (1 - lambda step / 2) ("bilinear")
        s_t = kept * s_{t-1} + gain * (B x_t)
        y_t = 2 Re(C s_t) + D x_t

    A real system has its eigenvalues in conjugate pairs, and the states of a pair are
    conjugates, too: one of each is kept, and counts twice. At the start it is, block by
    block, the normal part of HiPPO-LegS, with real B and C in its own coordinates.

    Source: Smith, Warrington & Linderman 2022, "Simplified State Space Layers for Sequence
    Modeling", arXiv:2208.04933.
    Differs from it: the real part of lambda is -exp(log_decay), so that no training makes
    it positive; D is a matrix, as x may have another size than y, from N(0, 1 / X); B is
    from N(0, 1 / X) and C from N(0, 1 / (2 pairs)). The block around it (normalisation,
    gated activation, skip) is left to the model.

    Parameters: 3*pairs + 2*pairs*(X + H) + H*X

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
        pairs: Pairs of conjugate eigenvalues: half the size of the real system.
        blocks: Parts of the state that each start as a HiPPO system of their own.
        discretisation: "zoh" or "bilinear".
        step_min: Smallest step of time at the start.
        step_max: Largest step of time at the start; drawn evenly by its logarithm.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        pairs: int = 32,
        blocks: int = 1,
        discretisation: str = "zoh",
        step_min: float = 1e-3,
        step_max: float = 0.1,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("pairs", pairs, low=1)
        options.divides("blocks", blocks, "pairs", pairs)
        options.choice("discretisation", discretisation, tuple(DISCRETISATIONS))
        options.real("step_min", step_min, low=1e-9)
        options.real("step_max", step_max, low=step_min)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.pairs = pairs
        self.discretise = DISCRETISATIONS[discretisation]
        self.log_decay = nn.Parameter(torch.empty(pairs))
        self.frequency = nn.Parameter(torch.empty(pairs))
        self.log_step = nn.Parameter(log_uniform(step_min, step_max, pairs))
        self.b = nn.Parameter(torch.empty(2 * pairs, input_size))
        self.c = nn.Parameter(torch.empty(hidden_size, 2 * pairs))
        self.d = nn.Parameter(torch.randn(hidden_size, input_size) / math.sqrt(input_size))
        self._start_as_hippo(blocks)

    @torch.no_grad()
    def _start_as_hippo(self, blocks: int) -> None:
        size = 2 * self.pairs // blocks
        rate, vectors = normal_hippo(size)
        self.log_decay.copy_((-rate.real).log().repeat(blocks))
        self.frequency.copy_(rate.imag.repeat(blocks))
        b = torch.randn(blocks, size, self.input_size) / math.sqrt(self.input_size)
        c = torch.randn(self.hidden_size, blocks, size) / math.sqrt(2 * self.pairs)
        turned_b = (vectors.mH @ b.to(vectors)).flatten(0, 1)
        turned_c = (c.to(vectors) @ vectors).flatten(1)
        self.b.copy_(torch.cat([turned_b.real, turned_b.imag]))
        self.c.copy_(torch.cat([turned_c.real, turned_c.imag], dim=1))

    def initial_state(self, batch: int) -> DiagonalState:
        zeros = self.log_decay.new_zeros
        return DiagonalState(zeros(batch, self.pairs), zeros(batch, self.pairs))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> DiagonalProjected:
        rate = -self.log_decay.exp(), self.frequency
        kept, gain = self.discretise(rate, self.log_step.exp())
        b_re, b_im = self.b.chunk(2)
        by_row = gain[0].unsqueeze(1), gain[1].unsqueeze(1)
        added = functional.linear(x, torch.cat(times(by_row, (b_re, b_im))))
        added_re, added_im = added.chunk(2, dim=-1)
        return DiagonalProjected(
            added_re,
            added_im,
            functional.linear(x, self.d),
            constant(kept[0], like=x),
            constant(kept[1], like=x),
        )

    def step(
        self, p_t: DiagonalProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], DiagonalState]:
        after = turn(p_t, state)
        return 2 * real_part(self.c, after) + p_t.skip, after

    def parallel(
        self, p: DiagonalProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], DiagonalState]:
        states = turn_through(p, state)
        return 2 * real_part(self.c, states) + p.skip, last(states)
