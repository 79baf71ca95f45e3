"""SRU: a cell whose gates see the memory feature by feature only."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State


class SRUState(NamedTuple):
    """What SRU remembers."""

    c: Tensor


class SRUProjected(NamedTuple):
    """What SRU makes of its inputs: W x stacked as candidate, f, r; and what goes past c."""

    gates: Tensor
    skip: Tensor


@final
class SRU(Cell):
    """Simple recurrent unit.

        u, f_x, r_x = W x_t + (0, b_f, b_r)             stacked in this order
        s   = a x_t, or W_s x_t if X != H               what goes past the memory

        f   = sigmoid(f_x + v_f * c_{t-1})              how much to keep
        r   = sigmoid(r_x + v_r * c_{t-1})              how much of the memory to show
        c_t = f * c_{t-1} + (1 - f) * u
        h_t = r * c_t + (1 - r) * s                     and y_t = h_t

    v_f and v_r are vectors: all matrix products are made by `project`, and what is left to the
    step is elementwise. It is no linear recurrence, since f reads c, and has no parallel form.

    a = sqrt(1 + 2 exp(highway_bias)) keeps the variance of h that of x at the start, or is 1
    with `rescale=False`. The weights start from U(-sqrt(3/X), sqrt(3/X)), such that their
    variance is 1/X; those of f and r are divided by sqrt(2), W_s is multiplied by a; v_f and
    v_r start from U(-sqrt(3/2), sqrt(3/2)), b_f as 0 and b_r as highway_bias.

    Source: Lei et al. 2018, "Simple Recurrent Units for Highly Parallelizable Recurrence",
    arXiv:1709.02755.
    Differs from it: W_s, where X != H, the sqrt(2) and the start of v_f and v_r are not in the
    paper but in its authors' code.

    Parameters: 3*H*X + (X != H)*H*X + 4*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        rescale: Whether what goes past the memory is scaled up by a.
        highway_bias: b_r at the start.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rescale: bool = True,
        highway_bias: float = 0.0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.flag("rescale", rescale)
        options.real("highway_bias", highway_bias, low=-50.0, below=50.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.scale = math.sqrt(1 + 2 * math.exp(highway_bias)) if rescale else 1.0
        self.weight = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_c = nn.Parameter(torch.empty(2 * hidden_size))  # v_f, v_r
        self.bias = nn.Parameter(torch.zeros(2 * hidden_size))  # b_f, b_r
        self.weight_skip = (
            nn.Parameter(torch.empty(hidden_size, input_size))
            if input_size != hidden_size
            else None
        )
        self._initialise(highway_bias)

    @torch.no_grad()
    def _initialise(self, highway_bias: float) -> None:
        reach = math.sqrt(3 / self.input_size)
        nn.init.uniform_(self.weight, -reach, reach)
        self.weight[self.hidden_size :] /= math.sqrt(2)
        nn.init.uniform_(self.weight_c, -math.sqrt(3 / 2), math.sqrt(3 / 2))
        self.bias[self.hidden_size :] = highway_bias
        if self.weight_skip is not None:
            nn.init.uniform_(self.weight_skip, -reach * self.scale, reach * self.scale)

    def initial_state(self, batch: int) -> SRUState:
        return SRUState(self.weight.new_zeros(batch, self.hidden_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> SRUProjected:
        if self.weight_skip is None:
            skip = self.scale * x
        else:
            skip = functional.linear(x, self.weight_skip)
        bias = torch.cat([self.bias.new_zeros(self.hidden_size), self.bias])
        return SRUProjected(functional.linear(x, self.weight, bias), skip)

    def step(
        self, p_t: SRUProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], SRUState]:
        (c,) = state
        u, f, r = p_t.gates.chunk(3, dim=-1)
        v_f, v_r = self.weight_c.chunk(2)
        f = torch.sigmoid(f + v_f * c)
        r = torch.sigmoid(r + v_r * c)
        c = f * c + (1 - f) * u
        h = r * c + (1 - r) * p_t.skip
        return h, SRUState(c)
