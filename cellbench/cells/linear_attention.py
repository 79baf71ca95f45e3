"""Linear attention: its softmax is a product of features, and its state a matrix."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.matrix_scan import gated_linear_attention


class LinearAttentionState(NamedTuple):
    """What LinearAttention remembers: S [batch, heads, d, d], and z [batch, heads, d]."""

    s: Tensor
    z: Tensor


class LinearAttentionProjected(NamedTuple):
    """What LinearAttention makes of the inputs, each [time, batch, heads, d].

    q and k are phi of queries and keys.
    """

    q: Tensor
    k: Tensor
    v: Tensor


@final
class LinearAttention(ParallelCell):
    """Causal attention without a softmax: all of the past is summed up in one matrix.

        q_t, k_t, v_t = W_x x_t + b                     each of all heads

        S_t = S_{t-1} + phi(k_t) v_t^T                  of each head
        z_t = z_{t-1} + phi(k_t)
        o_t = S_t^T phi(q_t) / (z_t . phi(q_t) + eps)
        y_t = W_o o_t + b_o                             of the heads side by side

    phi(v) is v + 1 where v > 0 and exp(v) elsewhere: elu(v) + 1, positive. So o_t is a mean
    of all v_j up to t, weighted by phi(k_j) . phi(q_t), and S never forgets. The gates of
    later cells that are linear in their state are what it lacks.

    Source: Katharopoulos et al. 2020, "Transformers are RNNs: Fast Autoregressive
    Transformers with Linear Attention", arXiv:2006.16236.
    Differs from it: input_size may differ from hidden_size; there are no positions (in the
    paper they are added below the first layer). Weights start as Glorot and Bengio have it,
    each of W_q, W_k, W_v, W_o by itself, and biases as 0.

    Parameters: 3*H*X + 3*H + H*H + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all queries, of all keys, of all values and of each output.
        heads: Number of heads; must divide hidden_size.
        eps: Added to the sum of the weights.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, heads: int = 2, eps: float = 1e-6
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("heads", heads, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.real("eps", eps, low=1e-12)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.eps = eps
        self.weight_x = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.bias = nn.Parameter(torch.zeros(3 * hidden_size))
        self.output = nn.Linear(hidden_size, hidden_size)
        for block in self.weight_x.detach().chunk(3):
            nn.init.xavier_uniform_(block)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def initial_state(self, batch: int) -> LinearAttentionState:
        size = self.hidden_size // self.heads
        zeros = self.weight_x.new_zeros
        return LinearAttentionState(
            s=zeros(batch, self.heads, size, size), z=zeros(batch, self.heads, size)
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> LinearAttentionProjected:
        projected = functional.linear(x, self.weight_x, self.bias)
        q, k, v = projected.reshape(*x.shape[:2], 3, self.heads, -1).unbind(2)
        return LinearAttentionProjected(functional.elu(q) + 1, functional.elu(k) + 1, v)

    def step(
        self, p_t: LinearAttentionProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], LinearAttentionState]:
        q, k, v = p_t
        s, z = state
        s = s + k.unsqueeze(-1) * v.unsqueeze(-2)
        z = z + k
        read = (q.unsqueeze(-2) @ s).squeeze(-2)
        return self._normalised(read, (q * z).sum(-1, keepdim=True)), LinearAttentionState(s, z)

    def parallel(
        self, p: LinearAttentionProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], LinearAttentionState]:
        q, k, v = p
        s, z = state
        # z is what S would be of a value that is always 1: one product makes both.
        values = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        both = torch.cat([s, z.unsqueeze(-1)], dim=-1)
        read, last = gated_linear_attention(q, k, values, torch.zeros_like(k[..., :1]), both)
        y = self._normalised(read[..., :-1], read[..., -1:])
        return y, LinearAttentionState(last[..., :-1], last[..., -1])

    def _normalised(
        self, read: Float[Tensor, "*batch heads size"], weight: Float[Tensor, "*batch heads 1"]
    ) -> Float[Tensor, "*batch {self.hidden_size}"]:
        y: Tensor = self.output((read / (weight + self.eps)).flatten(-2))
        return y
