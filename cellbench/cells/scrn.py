"""SCRN: a simple network beside slow units that average their input."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.errors import OptionError


class SCRNState(NamedTuple):
    """What SCRN remembers: fast units, and slow ones."""

    h: Tensor
    s: Tensor


class SCRNProjected(NamedTuple):
    """What SCRN makes of its inputs: A x + b for the fast units, B x for the slow ones."""

    fast: Tensor
    slow: Tensor


@final
class SCRN(Cell):
    """Structurally constrained recurrent network.

        s_t = (1 - alpha) * B x_t + alpha * s_{t-1}               slow: a running average
        h_t = sigmoid(P s_t + A x_t + R h_{t-1} + b)              fast
        y_t = [h_t; s_t]

    The slow units change little from step to step, and see each other not at all.

    Source: Mikolov et al. 2015, "Learning Longer Memory in Recurrent Neural Networks",
    arXiv:1412.7753.
    Differs from it: its last layer, f(U h_t + V s_t), is the reader's; b; all but alpha starts
    out as in `torch.nn.Linear`.

    Parameters: (H - (context_size or max(1, H // 4)))*(X + H + 1)
        + (context_size or max(1, H // 4))*(X + learn_alpha)

    Args:
        input_size: Features of each input vector.
        hidden_size: Units of both kinds, and features of each output vector.
        context_size: Slow units, fewer than hidden_size; 0 for a quarter.
        alpha: How much the slow units keep at each step.
        learn_alpha: Whether each slow unit learns its own, as sigmoid of a number.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        context_size: int = 0,
        alpha: float = 0.95,
        learn_alpha: bool = False,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=2)
        options.whole("context_size", context_size, low=0)
        options.real("alpha", alpha, low=0.0, below=1.0)
        options.flag("learn_alpha", learn_alpha)
        if context_size >= hidden_size:
            raise OptionError(
                f"context_size must be below hidden_size={hidden_size}, not {context_size}."
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.context_size = context_size or max(1, hidden_size // 4)
        self.fast_size = hidden_size - self.context_size
        self.alpha = alpha
        self.to_slow = nn.Linear(input_size, self.context_size, bias=False)  # B
        self.to_fast = nn.Linear(input_size, self.fast_size)  # A, b
        self.recurrent = nn.Linear(hidden_size, self.fast_size, bias=False)  # R, P
        start = torch.full((self.context_size,), alpha).logit(eps=1e-6)
        self.alpha_logit = nn.Parameter(start) if learn_alpha else None

    def initial_state(self, batch: int) -> SCRNState:
        zeros = self.recurrent.weight.new_zeros
        return SCRNState(zeros(batch, self.fast_size), zeros(batch, self.context_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> SCRNProjected:
        return SCRNProjected(self.to_fast(x), self.to_slow(x))

    def step(
        self, p_t: SCRNProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], SCRNState]:
        h, s = state
        alpha = self.alpha if self.alpha_logit is None else torch.sigmoid(self.alpha_logit)
        s = (1 - alpha) * p_t.slow + alpha * s
        h = torch.sigmoid(p_t.fast + self.recurrent(torch.cat([h, s], dim=-1)))
        return torch.cat([h, s], dim=-1), SCRNState(h, s)
