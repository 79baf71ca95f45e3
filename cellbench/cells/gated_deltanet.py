"""Gated DeltaNet: a DeltaNet that also forgets."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.delta_scan import delta_rule, delta_step, unit_length
from cellbench.cells.short_conv import ShortConv


class GatedDeltaNetState(NamedTuple):
    """What GatedDeltaNet remembers: S of each head, and the last inputs of its convolution.

    s is [batch, heads, key, value], window [batch, conv - 1, features of all q, k and v].
    """

    s: Tensor
    window: Tensor


class GatedDeltaNetProjected(NamedTuple):
    """What GatedDeltaNet makes of its inputs: q, k, v, in one; beta, log alpha; silu(W_g x)."""

    qkv: Tensor
    beta: Tensor
    log_decay: Tensor
    gate: Tensor


@final
class GatedDeltaNet(ParallelCell):
    """Linear attention with the delta rule and a decay: it corrects, and it clears.

        q, k, v = conv(W_q x_t), conv(W_k x_t), conv(W_v x_t)    of each head
        q_t, k_t, v_t = unit(silu(q)), unit(silu(k)), silu(v)
        beta_t  = sigmoid(W_beta x_t)                            one number for each head
        alpha_t = exp(-exp(A) softplus(W_alpha x_t + b))         one number for each head
        S'_t = alpha_t S_{t-1}                                   first it decays
        S_t  = S'_t + beta_t k_t (v_t - S'_t^T k_t)^T            what k_t finds becomes v_t
        y_t  = W_o (rms(S_t^T q_t / sqrt(d)) * silu(W_g x_t))    d features of each key

    conv is a causal convolution of each feature over its last `conv` steps, the identity for
    `conv=0`; unit(x) = x / sqrt(|x|^2 + 1e-6); rms divides each head by its root mean square
    and has a gain for each of its features.

    alpha near 0 clears all of S in a step, as the delta rule alone cannot; alpha = 1 makes it
    that. `beta="double"` doubles beta, which lets the eigenvalue alpha (1 - beta) be negative.

    Source: Yang et al. 2024, "Gated Delta Networks: Improving Mamba2 with Delta Rule",
    arXiv:2412.06464.
    Differs from it: keys have hidden_size features, where its authors' code has 3/4 of them
    to meet a budget; input_size and hidden_size may differ; weights start as those of
    torch's linear layers and depthwise convolutions do, A and b as its authors' code has
    them: exp(A) uniform up to 16, softplus(b) log-uniform from 0.001 to 0.1.

    Parameters: (2 + expand)*H*(X + conv) + 2*heads*X + 2*heads + expand*H*X
        + expand*H//heads + expand*H*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all keys, and of each output vector.
        heads: How many maps; divides hidden_size.
        expand: Features of all values, in hidden_sizes.
        conv: Steps that the convolution sees, with the current one; 0 for none.
        beta: "unit" for beta between 0 and 1, "double" between 0 and 2.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 2,
        expand: int = 2,
        conv: int = 4,
        beta: str = "unit",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.whole("expand", expand, low=1)
        options.whole("conv", conv, low=0)
        options.choice("beta", beta, ("unit", "double"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.sizes = [hidden_size, hidden_size, expand * hidden_size]  # q, k, v
        self.largest_beta = {"unit": 1.0, "double": 2.0}[beta]
        self.qkv = nn.Linear(input_size, sum(self.sizes), bias=False)
        self.beta = nn.Linear(input_size, heads, bias=False)
        self.alpha = nn.Linear(input_size, heads, bias=False)
        self.alpha_rate = nn.Parameter(torch.empty(heads))  # A
        self.alpha_bias = nn.Parameter(torch.empty(heads))  # b
        self.conv = ShortConv(conv, sum(self.sizes)) if conv else None
        self.gate = nn.Linear(input_size, expand * hidden_size, bias=False)
        self.norm = nn.RMSNorm(expand * hidden_size // heads, eps=1e-5)
        self.output = nn.Linear(expand * hidden_size, hidden_size, bias=False)
        with torch.no_grad():
            self.alpha_rate.uniform_(0, 16).clamp_(min=1e-4).log_()
            wait = self.alpha_bias.uniform_(math.log(0.001), math.log(0.1)).exp_()
            wait.add_(torch.log(-torch.expm1(-wait)))  # the inverse of softplus

    def initial_state(self, batch: int) -> GatedDeltaNetState:
        zeros = self.qkv.weight.new_zeros
        key, value = self.hidden_size // self.heads, self.sizes[2] // self.heads
        return GatedDeltaNetState(
            s=zeros(batch, self.heads, key, value),
            window=self.conv.window(batch) if self.conv else zeros(batch, 0, sum(self.sizes)),
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> GatedDeltaNetProjected:
        wait = functional.softplus(self.alpha(x) + self.alpha_bias)
        beta = self.largest_beta * torch.sigmoid(self.beta(x))
        return GatedDeltaNetProjected(
            qkv=self.qkv(x),
            beta=beta.unsqueeze(-1),
            log_decay=(-self.alpha_rate.exp() * wait).unsqueeze(-1),
            gate=functional.silu(self.gate(x)),
        )

    def step(
        self, p_t: GatedDeltaNetProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], GatedDeltaNetState]:
        s, window = state
        qkv = p_t.qkv
        if self.conv:
            qkv, window = self.conv.step(qkv, window)
        q, k, v = self._apart(qkv)
        o, s = delta_step(q, k, v, p_t.beta, p_t.log_decay.exp().unsqueeze(-1) * s)
        return self._output(o, p_t.gate), GatedDeltaNetState(s, window)

    def parallel(
        self, p: GatedDeltaNetProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], GatedDeltaNetState]:
        s, window = state
        qkv = p.qkv
        if self.conv:
            qkv, window = self.conv.sequence(qkv, window)
        q, k, v = self._apart(qkv)
        o, s = delta_rule(q, k, v, p.beta, log_decay=p.log_decay, state=s)
        return self._output(o, p.gate), GatedDeltaNetState(s, window)

    def _apart(self, qkv: Float[Tensor, "*time batch features"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v of each head: [*time, batch, heads, features]."""
        qkv, ends = functional.silu(qkv), accumulate(self.sizes)
        parts = (qkv[..., end - size : end] for size, end in zip(self.sizes, ends, strict=True))
        q, k, v = (torch.unflatten(part, -1, (self.heads, -1)) for part in parts)
        return unit_length(q) * q.shape[-1] ** -0.5, unit_length(k), v

    def _output(
        self,
        o: Float[Tensor, "*time batch heads value"],
        gate: Float[Tensor, "*time batch features"],
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        y: Tensor = self.output(self.norm(o).flatten(-2) * gate)
        return y
