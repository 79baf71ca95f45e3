"""HGRN2: an HGRN whose state is a matrix, with the forget gate for a key."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.matrix_scan import gated_linear_attention


class HGRN2State(NamedTuple):
    """What HGRN2 remembers: S of each head, [batch, heads, features, features]."""

    s: Tensor


class HGRN2Projected(NamedTuple):
    """What HGRN2 makes of its inputs, of each head: o, 1 - f, c and log f."""

    query: Tensor
    key: Tensor
    c: Tensor
    log_forget: Tensor


@final
class HGRN2(ParallelCell):
    """Hierarchically gated recurrent network with an expanded state.

        c_t = silu(W_c x_t + b_c)                                       what to write
        f_t = lower_bound + (1 - lower_bound) sigmoid(W_f x_t + b_f)    how much of a row to keep
        o_t = sigmoid(W_q x_t + b_q)                                    which rows to read
        S_t = diag(f_t) S_{t-1} + (1 - f_t) c_t^T                       of each head
        y_t = W_o LN(S_t^T o_t) + b_o                                   LN of all heads together

    It is gated linear attention with 1 - f for the key and no weights for it: the more of a
    row is forgotten, the more is written there. No gate reads S, so that chunks of time are
    matrix products: `matrix_scan`.

    Source: Qin et al. 2024, "HGRN2: Gated Linear RNNs with State Expansion", arXiv:2404.07904.
    Differs from it: lower_bound is given, the same for all features, and not learned over
    the layers; input_size and hidden_size may differ; weights start as those of torch's
    linear layers do. Which functions make c and o is not said there: they are those of its
    authors' code; others use silu for o (`query="silu"`).

    Parameters: 3*(H*X + H) + 2*H + H*H + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all values, of all keys, and of each output vector.
        heads: How many matrices; divides hidden_size.
        lower_bound: At least 0 and below 1.
        query: What makes o: "sigmoid" or "silu".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 2,
        lower_bound: float = 0.0,
        query: str = "sigmoid",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.real("lower_bound", lower_bound, low=0.0, below=1.0)
        options.choice("query", query, ("sigmoid", "silu"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.lower_bound = lower_bound
        self.of_query = torch.sigmoid if query == "sigmoid" else functional.silu
        self.candidate = nn.Linear(input_size, hidden_size)
        self.forget = nn.Linear(input_size, hidden_size)
        self.query = nn.Linear(input_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def initial_state(self, batch: int) -> HGRN2State:
        size = self.hidden_size // self.heads
        return HGRN2State(self.forget.weight.new_zeros(batch, self.heads, size, size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> HGRN2Projected:
        forget = self.forget(x)
        if self.lower_bound:
            free = (1 - self.lower_bound) * torch.sigmoid(forget)
            log_forget = torch.log(self.lower_bound + free)
        else:
            log_forget = functional.logsigmoid(forget)  # never the logarithm of 0
        parts = (
            self.of_query(self.query(x)),
            (1 - self.lower_bound) * torch.sigmoid(-forget),
            functional.silu(self.candidate(x)),
            log_forget,
        )
        return HGRN2Projected(*(torch.unflatten(part, -1, (self.heads, -1)) for part in parts))

    def step(
        self, p_t: HGRN2Projected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HGRN2State]:
        (s,) = state
        written = p_t.key.unsqueeze(-1) * p_t.c.unsqueeze(-2)
        s = p_t.log_forget.exp().unsqueeze(-1) * s + written
        return self._output((s * p_t.query.unsqueeze(-1)).sum(-2)), HGRN2State(s)

    def parallel(
        self, p: HGRN2Projected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], HGRN2State]:
        (s,) = state
        read, s = gated_linear_attention(p.query, p.key, p.c, p.log_forget, s)
        return self._output(read), HGRN2State(s)

    def _output(
        self, read: Float[Tensor, "*time batch heads value"]
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        y: Tensor = self.output(self.norm(read.flatten(-2)))
        return y
