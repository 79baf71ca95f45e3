"""RetNet: linear attention whose heads forget at fixed rates of their own, and turn."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.matrix_scan import gated_linear_attention


class RetNetState(NamedTuple):
    """What RetNet remembers: S of each head, [batch, heads, key, value]."""

    s: Tensor


class RetNetProjected(NamedTuple):
    """What RetNet makes of its inputs: of each head q / sqrt(d), k and v; and silu(W_g x)."""

    q: Tensor
    k: Tensor
    v: Tensor
    gate: Tensor


@final
class RetNet(ParallelCell):
    """Multi-scale retention.

        q_t, k_t, v_t = W_q x_t, W_k x_t, W_v x_t             of each head h = 0, 1, ...
        S_t = gamma R S_{t-1} + k_t v_t^T                     gamma = 1 - 2^(-5 - h)
        y_t = W_o (norm(S_t^T q_t / sqrt(d)) * silu(W_g x_t))

    R turns features 2 i and 2 i + 1 of a key, for i = 0 ... d / 2 - 1, by the angle
    -10000^(-2 i / d); norm is the layer normalisation of each head, without gain and shift.

    Written out, S_t^T q_t is the sum over s of gamma^(t-s) (R^(t-s) k_s)^T q_t v_s: it knows how
    far back s is. The paper turns q_t and k_t by t times the angle in place of S, which is the
    same; S turning, no step has to be counted.

    Source: Sun et al. 2023, "Retentive Network: A Successor to Transformer for Large Language
    Models", arXiv:2307.08621.
    Differs from it: scores are not scaled down to sums of at most 1, which the normalisation
    takes out again; where d is odd, the last feature of a key does not turn; input_size
    and hidden_size may differ. Weights start as in its authors' code.

    Parameters: 2*H*X + 2*expand*H*X + expand*H*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all keys, and of each output vector.
        heads: How many maps; divides hidden_size.
        expand: Features of all values, in hidden_sizes.
        rotary: Whether S turns.
        ln_eps: Added to each variance.
    """

    log_decay: Tensor
    angle: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 2,
        expand: int = 2,
        rotary: bool = True,
        ln_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.whole("expand", expand, low=1)
        options.flag("rotary", rotary)
        options.real("ln_eps", ln_eps, low=1e-12)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.expand = expand
        self.rotary = rotary
        self.ln_eps = ln_eps
        self.query = nn.Linear(input_size, hidden_size, bias=False)
        self.key = nn.Linear(input_size, hidden_size, bias=False)
        self.value = nn.Linear(input_size, expand * hidden_size, bias=False)
        self.gate = nn.Linear(input_size, expand * hidden_size, bias=False)
        self.output = nn.Linear(expand * hidden_size, hidden_size, bias=False)
        size = hidden_size // heads
        rates = [math.log1p(-(2.0 ** (-5 - head))) for head in range(heads)]
        angles = [10000 ** (-2 * i / size) for i in range(size // 2)]
        self.register_buffer("log_decay", torch.tensor(rates).view(heads, 1), persistent=False)
        self.register_buffer("angle", torch.tensor(angles), persistent=False)
        for layer in (self.query, self.key, self.value, self.gate):
            nn.init.xavier_uniform_(layer.weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.output.weight)

    def initial_state(self, batch: int) -> RetNetState:
        key, value = self.hidden_size // self.heads, self.expand * self.hidden_size // self.heads
        return RetNetState(self.key.weight.new_zeros(batch, self.heads, key, value))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> RetNetProjected:
        q, k, v = (
            torch.unflatten(part, -1, (self.heads, -1))
            for part in (self.query(x), self.key(x), self.value(x))
        )
        return RetNetProjected(q * q.shape[-1] ** -0.5, k, v, functional.silu(self.gate(x)))

    def step(
        self, p_t: RetNetProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RetNetState]:
        (s,) = state
        if self.rotary:
            s = turn(s.mT, -self.angle).mT
        s = self.log_decay.exp().unsqueeze(-1) * s + p_t.k.unsqueeze(-1) * p_t.v.unsqueeze(-2)
        o = (s * p_t.q.unsqueeze(-1)).sum(-2)
        return self._output(o, p_t.gate), RetNetState(s)

    def parallel(
        self, p: RetNetProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], RetNetState]:
        (s,) = state
        q, k, v, gate = p
        time = len(q)
        if self.rotary:
            steps = torch.arange(1, time + 1, device=q.device, dtype=q.dtype)
            angles = steps.view(time, 1, 1, 1) * self.angle
            q, k = turn(q, angles), turn(k, angles)
        log_decay = self.log_decay.expand(*q.shape[:-1], 1)
        o, s = gated_linear_attention(q, k, v, log_decay, s)
        if self.rotary:
            s = turn(s.mT, -time * self.angle).mT
        return self._output(o, gate), RetNetState(s)

    def _output(
        self,
        o: Float[Tensor, "*time batch heads value"],
        gate: Float[Tensor, "*time batch features"],
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        normal = functional.layer_norm(o, o.shape[-1:], eps=self.ln_eps)
        y: Tensor = self.output(normal.flatten(-2) * gate)
        return y


def turn(
    x: Float[Tensor, "*batch features"], angle: Float[Tensor, "*#batch pairs"]
) -> Float[Tensor, "*batch features"]:
    """Turn each pair of features by its angle; the last feature of an odd number is left."""
    pairs = angle.shape[-1]
    first, second = torch.unflatten(x[..., : 2 * pairs], -1, (pairs, 2)).unbind(-1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    turned = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([turned.flatten(-2), x[..., 2 * pairs :]], dim=-1)
