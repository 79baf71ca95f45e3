"""GLA: linear attention with a forget gate for each feature of a key."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.matrix_scan import gated_linear_attention


class GLAState(NamedTuple):
    """What GLA remembers: S of each head, [batch, heads, key, value]."""

    s: Tensor


class GLAProjected(NamedTuple):
    """What GLA makes of its inputs: of each head q / sqrt(d), k, v, log alpha; silu(W_r x + b)."""

    q: Tensor
    k: Tensor
    v: Tensor
    log_decay: Tensor
    gate: Tensor


@final
class GLA(ParallelCell):
    """Gated linear attention.

        q_t, k_t, v_t = W_q x_t, W_k x_t, W_v x_t                of each head
        alpha_t = sigmoid(W_2 W_1 x_t + b_alpha) ^ (1 / temperature)
        S_t = diag(alpha_t) S_{t-1} + k_t v_t^T                  a decay for each feature of k
        y_t = W_o (rms(S_t^T q_t / sqrt(d)) * silu(W_r x_t + b_r))

    d is the number of features of each key; rms divides each head by its root mean square and
    has a gain for each of its features. The temperature keeps alpha close to 1 at the start.

    No gate reads S, so that chunks of time are matrix products: `matrix_scan`.

    Source: Yang et al. 2024, "Gated Linear Attention Transformers with Hardware-Efficient
    Training", arXiv:2312.06635, section 4.4.
    Differs from it: rms in place of a layer normalisation, as in its authors' code; where
    hidden_size is no multiple of 2 heads, a key has its half rounded down, at least 1;
    input_size and hidden_size may differ; weights start as those of torch's linear layers do.

    Parameters: 2*heads*max(H//(2*heads), 1)*X + H*X + rank*X + rank*heads*max(H//(2*heads), 1)
        + heads*max(H//(2*heads), 1) + H*X + H + H//heads + H*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all values, and of each output vector; keys have half of them.
        heads: How many maps; divides hidden_size.
        rank: Features of W_1 x.
        temperature: At least 1.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 2,
        rank: int = 16,
        temperature: float = 16.0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.whole("rank", rank, low=1)
        options.real("temperature", temperature, low=1.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.key_size = max(hidden_size // (2 * heads), 1)
        self.temperature = temperature
        self.query = nn.Linear(input_size, heads * self.key_size, bias=False)
        self.key = nn.Linear(input_size, heads * self.key_size, bias=False)
        self.value = nn.Linear(input_size, hidden_size, bias=False)
        self.alpha_1 = nn.Linear(input_size, rank, bias=False)
        self.alpha_2 = nn.Linear(rank, heads * self.key_size)
        self.gate = nn.Linear(input_size, hidden_size)
        self.norm = nn.RMSNorm(hidden_size // heads, eps=1e-5)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch: int) -> GLAState:
        value_size = self.hidden_size // self.heads
        return GLAState(self.key.weight.new_zeros(batch, self.heads, self.key_size, value_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> GLAProjected:
        log_decay = functional.logsigmoid(self.alpha_2(self.alpha_1(x))) / self.temperature
        q, k, v, log_decay = (
            torch.unflatten(part, -1, (self.heads, -1))
            for part in (self.query(x), self.key(x), self.value(x), log_decay)
        )
        gate = functional.silu(self.gate(x))
        return GLAProjected(q * self.key_size**-0.5, k, v, log_decay, gate)

    def step(
        self, p_t: GLAProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], GLAState]:
        (s,) = state
        written = p_t.k.unsqueeze(-1) * p_t.v.unsqueeze(-2)
        s = p_t.log_decay.exp().unsqueeze(-1) * s + written
        o = (s * p_t.q.unsqueeze(-1)).sum(-2)
        return self._output(o, p_t.gate), GLAState(s)

    def parallel(
        self, p: GLAProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], GLAState]:
        (s,) = state
        o, s = gated_linear_attention(p.q, p.k, p.v, p.log_decay, s)
        return self._output(o, p.gate), GLAState(s)

    def _output(
        self,
        o: Float[Tensor, "*time batch heads value"],
        gate: Float[Tensor, "*time batch {self.hidden_size}"],
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        y: Tensor = self.output(self.norm(o).flatten(-2) * gate)
        return y
