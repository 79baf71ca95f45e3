"""Mamba: a selective state space behind a short convolution."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.diagonal import log_uniform
from cellbench.cells.scan import linear_scan

STEP_MIN, STEP_MAX = 1e-3, 0.1
"""Steps of time at the start, drawn evenly by their logarithm."""


class MambaState(NamedTuple):
    """What Mamba remembers: [batch, inner, d_state], and the last v, [batch, d_conv - 1, inner]."""

    s: Tensor
    window: Tensor


class MambaProjected(NamedTuple):
    """What Mamba makes of its inputs: v for the convolution, and the branch that gates y."""

    v: Tensor
    z: Tensor


@final
class Mamba(ParallelCell):
    """Selective state space layer: it chooses by its inputs what to write, read and forget.

        v_t, z_t = W_in x_t                        `expand` times as wide as y, both
        u_t = silu(sum_j conv_j * v_{t-d_conv+1+j} + b_conv)       each feature by itself
        low, B, C = W_u u_t                        low of dt_rank numbers; d_state each
        step = softplus(W_step low + b_step)       one for each feature of u
        A = -exp(log_a)                            d_state numbers for each feature
        s_t = exp(step A) * s_{t-1} + (step * u_t) B^T
        y_t = W_out ((s_t C + D * u_t) * silu(z_t))

    Source: Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
    arXiv:2312.00752.
    Differs from it: x may have another size than y. Normalisation and skip are left to the
    model. How weights start is the authors': A at -1 ... -d_state, D = 1, steps from 0.001
    to 0.1, evenly by their logarithm.

    Parameters: 2*expand*H*X + expand*H*(d_conv + 1)
        + expand*H*((dt_rank or ceil(H/16)) + 2*d_state) + expand*H*((dt_rank or ceil(H/16)) + 1)
        + expand*H*d_state + expand*H + H*expand*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
        expand: How many times as wide the inside is.
        d_state: States of each feature inside.
        d_conv: Steps that the convolution sees.
        dt_rank: Rank of the map from u to steps; 0 for a sixteenth of hidden_size, rounded up.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        expand: int = 2,
        d_state: int = 16,
        d_conv: int = 4,
        dt_rank: int = 0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("expand", expand, low=1)
        options.whole("d_state", d_state, low=1)
        options.whole("d_conv", d_conv, low=1)
        options.whole("dt_rank", dt_rank, low=0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.inner = inner = expand * hidden_size
        self.d_state = d_state
        self.d_conv = d_conv
        self.dt_rank = dt_rank or math.ceil(hidden_size / 16)
        self.enter = nn.Linear(input_size, 2 * inner, bias=False)
        self.conv = nn.Parameter(torch.empty(d_conv, inner).uniform_(-1, 1) / math.sqrt(d_conv))
        self.conv_bias = nn.Parameter(torch.empty(inner).uniform_(-1, 1) / math.sqrt(d_conv))
        self.select = nn.Linear(inner, self.dt_rank + 2 * d_state, bias=False)
        self.step_size = nn.Linear(self.dt_rank, inner)
        self.log_a = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(inner, 1))
        self.d = nn.Parameter(torch.ones(inner))
        self.leave = nn.Linear(inner, hidden_size, bias=False)
        bound = 1 / math.sqrt(self.dt_rank)
        nn.init.uniform_(self.step_size.weight, -bound, bound)
        steps = log_uniform(STEP_MIN, STEP_MAX, inner).exp()
        self.step_size.bias.detach().copy_(steps.expm1().log())  # softplus gives them back

    def initial_state(self, batch: int) -> MambaState:
        zeros = self.d.new_zeros
        return MambaState(
            s=zeros(batch, self.inner, self.d_state),
            window=zeros(batch, self.d_conv - 1, self.inner),
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> MambaProjected:
        return MambaProjected(*self.enter(x).chunk(2, dim=-1))

    def step(
        self, p_t: MambaProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MambaState]:
        s, window = state
        seen = torch.cat([window, p_t.v.unsqueeze(1)], dim=1)
        u = functional.silu((seen * self.conv).sum(1) + self.conv_bias)
        kept, added, c = self._selected(u)
        s = kept * s + added
        return self._read(s, c, u, p_t.z), MambaState(s, seen[:, 1:])

    def parallel(
        self, p: MambaProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], MambaState]:
        s, window = state
        seen = torch.cat([window.transpose(0, 1), p.v])
        time = len(p.v)
        taps = zip(self.conv, range(self.d_conv), strict=True)
        u = functional.silu(sum(tap * seen[j : j + time] for tap, j in taps) + self.conv_bias)
        kept, added, c = self._selected(u)
        states = linear_scan(kept, added, s)
        after = MambaState(states[-1], seen[time:].transpose(0, 1))
        return self._read(states, c, u, p.z), after

    def _selected(
        self, u: Float[Tensor, "*time batch {self.inner}"]
    ) -> tuple[
        Float[Tensor, "*time batch {self.inner} {self.d_state}"],
        Float[Tensor, "*time batch {self.inner} {self.d_state}"],
        Float[Tensor, "*time batch {self.d_state}"],
    ]:
        """Return exp(step A), (step u) B^T and C."""
        selected = self.select(u)
        # Not by split: a list of results cannot cross from one part of a compiled step to the next.
        b, c = selected[..., self.dt_rank : -self.d_state], selected[..., -self.d_state :]
        step = functional.softplus(self.step_size(selected[..., : self.dt_rank]))
        kept = torch.exp(step.unsqueeze(-1) * -self.log_a.exp())
        return kept, (step * u).unsqueeze(-1) * b.unsqueeze(-2), c

    def _read(
        self,
        s: Float[Tensor, "*time batch {self.inner} {self.d_state}"],
        c: Float[Tensor, "*time batch {self.d_state}"],
        u: Float[Tensor, "*time batch {self.inner}"],
        z: Float[Tensor, "*time batch {self.inner}"],
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        """Return W_out ((s C + D u) * silu(z))."""
        found = (s @ c.unsqueeze(-1)).squeeze(-1) + self.d * u
        return functional.linear(found * functional.silu(z), self.leave.weight)
