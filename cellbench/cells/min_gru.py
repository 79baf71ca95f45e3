"""minGRU: a GRU whose gates do not look at the previous state."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.scan import gated_scan


class MinGRUState(NamedTuple):
    """What MinGRU remembers."""

    h: Tensor


class MinGRUProjected(NamedTuple):
    """What MinGRU makes of its inputs; in one tensor they would cost one more pass over memory."""

    z: Tensor
    c: Tensor


@final
class MinGRU(ParallelCell):
    """Minimal gated recurrent unit.

        z_t = sigmoid(W_z x_t + b_z)             how much to overwrite
        c_t = phi(W_c x_t + b_c)                 what to write
        h_t = (1 - z_t) * h_{t-1} + z_t * c_t    and y_t = h_t

    phi(v) is v ("linear"), or v + 1/2 where v >= 0 and sigmoid(v) elsewhere ("positive").

    No gate reads h: `project` makes every z and c at once, what is left is linear in
    h, and one scan solves all of time.

    Source: Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201.
    Differs from it: the scan is a plain one, not one of logarithms, so neither c_t nor h
    has to be positive and h_0 is 0; "positive" is the phi of the paper's logarithmic form.

    Parameters: 2*H*X + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        candidate: "linear" or "positive".
    """

    def __init__(self, input_size: int, hidden_size: int, *, candidate: str = "linear") -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.choice("candidate", candidate, ("linear", "positive"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.positive = candidate == "positive"
        self.gate = nn.Linear(input_size, hidden_size)
        self.candidate = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch: int) -> MinGRUState:
        return MinGRUState(self.gate.weight.new_zeros(batch, self.hidden_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> MinGRUProjected:
        z = torch.sigmoid(self.gate(x))
        c = self.candidate(x)
        if self.positive:
            c = torch.where(c >= 0, c + 0.5, torch.sigmoid(c))
        return MinGRUProjected(z, c)

    def step(
        self, p_t: MinGRUProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MinGRUState]:
        z, c = p_t
        (h,) = state
        h = (1 - z) * h + z * c
        return h, MinGRUState(h)

    def parallel(
        self, p: MinGRUProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], MinGRUState]:
        z, c = p
        (h,) = state
        y = gated_scan(z, c, h)
        return y, MinGRUState(y[-1])
