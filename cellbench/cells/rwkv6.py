"""RWKV-6: linear attention whose decays, and whose looks at the previous input, are inputs'."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.matrix_scan import gated_linear_attention
from cellbench.cells.token_shift import HeadNorm, ramp, shifted


class RWKV6State(NamedTuple):
    """What RWKV6 remembers: S of each head, [batch, heads, key, value], and the last input."""

    s: Tensor
    x: Tensor


class _Made(NamedTuple):
    """What RWKV6 makes of two inputs, of each head: r, log w, k and v; and silu(g)."""

    r: Tensor
    log_w: Tensor
    k: Tensor
    v: Tensor
    g: Tensor


@final
class RWKV6(ParallelCell):
    """RWKV-6: its time mixing.

    Each n of w, k, v, r, g sees its own mixture of an input and the one before it, and the
    mixture itself depends on them:

        m   = x_t + mix_x * (x_{t-1} - x_t)
        x_n = x_t + (mix_n + B_n tanh(A_n m)) * (x_{t-1} - x_t)
        r, k, v, g = W_r x_r, W_k x_k, W_v x_v, W_g x_g
        w = exp(-exp(w_0 + w_2 tanh(w_1 x_w)))               decay, of each feature of a key

    and of each head, with an S of keys by values,

        y_t = W_o (silu(g) * norm((S_{t-1} + diag(u) k v^T)^T r))
        S_t = diag(w) S_{t-1} + k v^T

    The current input is read with a weight u of its own, which is learned. norm is the layer
    normalisation of each head, with eps 64e-5 and a gain and a shift for each of all features.

    A_n m has `rank` features, w_1 x_w 2 `rank`. No gate reads S, so that chunks of time are
    matrix products: `matrix_scan`.

    Source: Peng et al. 2024, "Eagle and Finch: RWKV with Matrix-Valued States and Dynamic
    Recurrence", arXiv:2404.05892.
    Differs from it: input_size and hidden_size may differ. It starts as a first layer in its
    authors' code, but for the matrices, of which only A, B, w_1 and w_2 do (uniform up to
    1e-4), while the others start as torch's linear layers.

    Parameters: 6*X + 10*rank*X + 2*rank*(X + H) + H + 4*H*X + H + 2*H + H*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all keys, of all values, and of each output vector.
        heads: How many maps; divides hidden_size.
        rank: Features of A_n m, and half of those of w_1 x_w.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, heads: int = 2, rank: int = 16
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.whole("rank", rank, low=1)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.key_size = hidden_size // heads
        powers = (1.0, 1.0, 1.0, 0.5, 0.5)  # w, k, v, r, g
        self.mix_x = nn.Parameter(ramp(input_size, 1.0))
        self.mix = nn.Parameter(torch.stack([ramp(input_size, power) for power in powers]))
        self.mix_1 = nn.Linear(input_size, 5 * rank, bias=False)  # A
        self.mix_2 = nn.Parameter(torch.empty(5, rank, input_size))  # B, transposed
        self.w_1 = nn.Linear(input_size, 2 * rank, bias=False)
        self.w_2 = nn.Linear(2 * rank, hidden_size)  # its bias is w_0
        self.key = nn.Linear(input_size, hidden_size, bias=False)
        self.value = nn.Linear(input_size, hidden_size, bias=False)
        self.receptance = nn.Linear(input_size, hidden_size, bias=False)
        self.gate = nn.Linear(input_size, hidden_size, bias=False)
        self.u = nn.Parameter(torch.empty(heads, self.key_size))
        self.norm = HeadNorm(heads, hidden_size, eps=64e-5)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        for weight in (self.mix_1.weight, self.mix_2, self.w_1.weight, self.w_2.weight):
            nn.init.uniform_(weight, -1e-4, 1e-4)
        with torch.no_grad():
            feature = torch.arange(hidden_size)
            self.w_2.bias.copy_(-6 + 5 * (feature / max(hidden_size - 1, 1)) ** 0.7)
            self.u.copy_((0.1 * ((feature + 1) % 3 - 1)).view_as(self.u))

    def initial_state(self, batch: int) -> RWKV6State:
        zeros = self.key.weight.new_zeros
        return RWKV6State(
            s=zeros(batch, self.heads, self.key_size, self.key_size),
            x=zeros(batch, self.input_size),
        )

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RWKV6State]:
        s, before = state
        made = self._make(p_t, before)
        o = (s * made.r.unsqueeze(-1)).sum(-2)
        written = made.k.unsqueeze(-1) * made.v.unsqueeze(-2)
        s = made.log_w.exp().unsqueeze(-1) * s + written
        return self._output(o, made), RWKV6State(s, p_t)

    def parallel(
        self, p: Float[Tensor, "time batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], RWKV6State]:
        s, before = state
        made = self._make(p, shifted(p, before))
        first = (s * made.r[0].unsqueeze(-1)).sum(-2, keepdim=True).movedim(-2, 0)
        # S_{t-1} is read by r_t: what the scan reads after a step is for the next.
        following = torch.cat([made.r[1:], torch.zeros_like(made.r[:1])])
        later, s = gated_linear_attention(following, made.k, made.v, made.log_w, s)
        return self._output(torch.cat([first, later[:-1]]), made), RWKV6State(s, p[-1])

    def _make(
        self,
        x: Float[Tensor, "*time batch {self.input_size}"],
        before: Float[Tensor, "*time batch {self.input_size}"],
    ) -> _Made:
        back = before - x
        low = torch.tanh(self.mix_1(torch.addcmul(x, back, self.mix_x)))
        low = torch.unflatten(low, -1, (5, -1)).unsqueeze(-2)
        mixes = self.mix + (low @ self.mix_2).squeeze(-2)
        x_w, x_k, x_v, x_r, x_g = (torch.addcmul(x, back, mixes[..., n, :]) for n in range(5))
        # exp(-exp(10)) is 0 in every precision; more would make a gradient of infinity times 0.
        log_w = -torch.exp(self.w_2(torch.tanh(self.w_1(x_w))).clamp(max=10.0))
        parts = (self.receptance(x_r), log_w, self.key(x_k), self.value(x_v))
        r, log_w, k, v = (torch.unflatten(part, -1, (self.heads, self.key_size)) for part in parts)
        return _Made(r, log_w, k, v, functional.silu(self.gate(x_g)))

    def _output(
        self, o: Float[Tensor, "*time batch heads value"], made: _Made
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        current = (made.r * self.u * made.k).sum(-1, keepdim=True)
        y: Tensor = self.output(made.g * self.norm(o + current * made.v).flatten(-2))
        return y
