"""RWKV-7: a matrix that decays, forgets along one key and is written along another."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.delta_scan import low_rank_scan, unit_length
from cellbench.cells.token_shift import HeadNorm, ramp, shifted


class RWKVState(NamedTuple):
    """What RWKV remembers: S of each head, [batch, heads, key, value], and the last input."""

    s: Tensor
    x: Tensor


class _Made(NamedTuple):
    """What RWKV makes of two inputs, of each head: r, log w, k, v, kappa, a; and g."""

    r: Tensor
    log_w: Tensor
    k: Tensor
    v: Tensor
    kappa: Tensor
    a: Tensor
    g: Tensor


@final
class RWKV(ParallelCell):
    r"""RWKV-7: its time mixing, with the generalised delta rule.

    Each n of r, w, k, v, a, g sees its own mixture of an input and the one before it:

        x_n = x_t + mix_n * (x_{t-1} - x_t)
        r, k', v = W_r x_r, W_k x_k, W_v x_v
        w = exp(-exp(-1/2) sigmoid(w_0 + w_2 tanh(w_1 x_w)))     decay, from 0.545 to 1
        a = sigmoid(a_0 + a_2 a_1 x_a)                           how much to replace, by feature
        g = g_2 sigmoid(g_1 x_g)                                 output gate
        kappa = unit(k_k * k')                                   where to remove
        k = k' * (1 + k_a * (a - 1))                             where to write

    and of each head, with an S of keys by values,

        S_t = diag(w) S_{t-1} - (a * kappa) (S_{t-1}^T kappa)^T + k v^T
        y_t = W_o (g * (norm(S_t^T r) + (r . (r_k * k)) v))

    unit(x) = x / sqrt(|x|^2 + 1e-6) of each head; norm is the layer normalisation of each head,
    with eps 1e-5 d for heads of d features and a gain and a shift for each of all features.

    The products with w_1, a_1, g_1 have `rank` features. The paper's S is the transpose. No gate
    reads S, so that chunks of time are solved as triangular systems: `delta_scan`.

    Source: Peng et al. 2025, "RWKV-7 "Goose" with Expressive Dynamic State Evolution",
    arXiv:2503.14456.
    Differs from it: v is that of a first layer, which no later layer mixes with that of the
    first; the ranks are one option; input_size and hidden_size may differ; 1e-6 in unit. It
    starts as a first layer in its authors' code, except for W_o, which is 0 there, where a
    residual connection leads around it, and drawn as W_v is here.

    Parameters: 6*X + 3*H*X + 3*rank*(X + H) + 2*H + 2*H + H + 2*H + H*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all keys, of all values, and of each output vector.
        heads: How many maps; divides hidden_size.
        rank: Features of w_1 x, a_1 x and g_1 x.
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
        powers = (0.2, 0.9, 0.7, 0.7, 0.9, 0.2)  # r, w, k, v, a, g
        self.mix = nn.Parameter(torch.stack([ramp(input_size, power) for power in powers]))
        self.receptance = nn.Linear(input_size, hidden_size, bias=False)
        self.key = nn.Linear(input_size, hidden_size, bias=False)
        self.value = nn.Linear(input_size, hidden_size, bias=False)
        self.w_1 = nn.Linear(input_size, rank, bias=False)
        self.w_2 = nn.Linear(rank, hidden_size)  # its bias is w_0
        self.a_1 = nn.Linear(input_size, rank, bias=False)
        self.a_2 = nn.Linear(rank, hidden_size)  # its bias is a_0
        self.g_1 = nn.Linear(input_size, rank, bias=False)
        self.g_2 = nn.Linear(rank, hidden_size, bias=False)
        self.k_k = nn.Parameter(torch.empty(hidden_size))
        self.k_a = nn.Parameter(torch.empty(hidden_size))
        self.r_k = nn.Parameter(torch.empty(heads, self.key_size))
        self.norm = HeadNorm(heads, hidden_size, eps=1e-5 * self.key_size)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        bound = 0.5 * self.input_size**-0.5
        nn.init.uniform_(self.receptance.weight, -bound, bound)
        nn.init.uniform_(self.key.weight, -bound / 10, bound / 10)
        nn.init.uniform_(self.value.weight, -bound, bound)
        bound = 0.5 * self.hidden_size**-0.5
        nn.init.uniform_(self.output.weight, -bound, bound)
        for first, second in ((self.w_1, self.w_2), (self.a_1, self.a_2), (self.g_1, self.g_2)):
            nn.init.zeros_(first.weight)
            nn.init.orthogonal_(second.weight, gain=0.1 * max(1, _wideness(second)) ** 0.5)
        place = torch.arange(self.hidden_size) / max(self.hidden_size - 1, 1)  # 0 ... 1
        half = (self.key_size - 1) / 2
        in_head = (torch.arange(self.hidden_size) % self.key_size - half) / max(half, 0.5)
        zigzag = in_head * in_head.abs()
        self.w_2.bias.copy_(-5.5 + 6 * place + 2.5 * zigzag)
        self.a_2.bias.copy_(-0.19 + 0.3 * zigzag + 0.4 * (place - 0.5))
        self.k_k.copy_(0.71 - 0.1 * (place - 0.5))
        nn.init.constant_(self.k_a, 1.02)
        nn.init.constant_(self.r_k, -0.04)

    def initial_state(self, batch: int) -> RWKVState:
        zeros = self.key.weight.new_zeros
        return RWKVState(
            s=zeros(batch, self.heads, self.key_size, self.key_size),
            x=zeros(batch, self.input_size),
        )

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RWKVState]:
        s, before = state
        made = self._make(p_t, before)
        r, log_w, k, v, kappa, a, _ = made
        removed = (s * kappa.unsqueeze(-1)).sum(-2)
        s = log_w.exp().unsqueeze(-1) * s + k.unsqueeze(-1) * v.unsqueeze(-2)
        s = s - (a * kappa).unsqueeze(-1) * removed.unsqueeze(-2)
        o = (s * r.unsqueeze(-1)).sum(-2)
        return self._output(o, made), RWKVState(s, p_t)

    def parallel(
        self, p: Float[Tensor, "time batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], RWKVState]:
        s, before = state
        made = self._make(p, shifted(p, before))
        r, log_w, k, v, kappa, a, _ = made
        o, s = low_rank_scan(
            r, -kappa, a * kappa, torch.zeros_like(v), log_decay=log_w, state=s, also=(k, v)
        )
        return self._output(o, made), RWKVState(s, p[-1])

    def _make(
        self,
        x: Float[Tensor, "*time batch {self.input_size}"],
        before: Float[Tensor, "*time batch {self.input_size}"],
    ) -> _Made:
        back = before - x
        x_r, x_w, x_k, x_v, x_a, x_g = (torch.addcmul(x, back, self.mix[n]) for n in range(6))
        k = self.key(x_k)
        log_w = -math.exp(-0.5) * torch.sigmoid(self.w_2(torch.tanh(self.w_1(x_w))))
        a = torch.sigmoid(self.a_2(self.a_1(x_a)))
        parts = (
            self.receptance(x_r),
            log_w,
            k * (1 + self.k_a * (a - 1)),
            self.value(x_v),
            self.k_k * k,
            a,
        )
        r, log_w, k, v, kappa, a = (
            torch.unflatten(part, -1, (self.heads, self.key_size)) for part in parts
        )
        g = self.g_2(torch.sigmoid(self.g_1(x_g)))
        return _Made(r, log_w, k, v, unit_length(kappa), a, g)

    def _output(
        self, o: Float[Tensor, "*time batch heads value"], made: _Made
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        current = (made.r * self.r_k * made.k).sum(-1, keepdim=True)
        y: Tensor = self.output(made.g * (self.norm(o) + current * made.v).flatten(-2))
        return y


def _wideness(layer: nn.Linear) -> float:
    """Return how many inputs a layer has for each output."""
    return layer.in_features / layer.out_features
