"""DeltaNet: linear attention that corrects what it has stored in place of adding to it."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.delta_scan import delta_rule, delta_step, unit_length
from cellbench.cells.short_conv import ShortConv


class DeltaNetState(NamedTuple):
    """What DeltaNet remembers: S of each head, and the last inputs of its convolution.

    s is [batch, heads, key, value], window [batch, conv - 1, 3 * hidden_size].
    """

    s: Tensor
    window: Tensor


class DeltaNetProjected(NamedTuple):
    """What DeltaNet makes of its inputs: q, k, v, in one, and beta of each head."""

    qkv: Tensor
    beta: Tensor


@final
class DeltaNet(ParallelCell):
    """Linear attention with the delta rule: the state is a linear map from keys to values.

        q, k, v = conv(W_q x_t), conv(W_k x_t), conv(W_v x_t)    of each head
        q_t, k_t, v_t = unit(phi(q)), unit(phi(k)), silu(v)
        beta_t = sigmoid(W_beta x_t)                             one number for each head
        S_t = S_{t-1} + beta_t k_t (v_t - S_{t-1}^T k_t)^T       what k_t finds becomes v_t
        y_t = W_o rms(S_t^T q_t / sqrt(d))                       d features of each key

    conv is a causal convolution of each feature over its last `conv` steps, the identity for
    `conv=0`; unit(x) = x / sqrt(|x|^2 + 1e-6); rms divides each head by its root mean square
    and has a gain for each of its features. phi is silu, relu or elu + 1.

    With beta = 1 what was stored under k_t is replaced by v_t, with beta = 0 it is kept.
    S_t = (I - beta k k^T) S_{t-1} + ... : with |k| = 1 the eigenvalues are 1 and 1 - beta;
    `beta="double"` doubles beta, which makes them reach -1, as counting modulo 2 needs.
    No gate reads S, so that chunks of time are solved as triangular systems: `delta_scan`.

    Source: Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule over
    Sequence Length", arXiv:2406.06484; the rule, Schlag et al. 2021, "Linear Transformers
    Are Secretly Fast Weight Programmers", arXiv:2102.11174; "double", Grazzi et al. 2024,
    "Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues", arXiv:2411.12537.
    Differs from it: input_size and hidden_size may differ; weights start as those of
    torch's linear layers and depthwise convolutions do.

    Parameters: 3*H*X + heads*X + 3*H*conv + H//heads + H*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all keys, of all values, and of each output vector.
        heads: How many maps; divides hidden_size.
        conv: Steps that the convolution sees, with the current one; 0 for none.
        feature: phi: "silu", "relu" or "elu".
        beta: "unit" for beta between 0 and 1, "double" between 0 and 2.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 2,
        conv: int = 4,
        feature: str = "silu",
        beta: str = "unit",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.whole("conv", conv, low=0)
        options.choice("feature", feature, ("silu", "relu", "elu"))
        options.choice("beta", beta, ("unit", "double"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.key_size = hidden_size // heads
        self.feature = feature
        self.largest_beta = {"unit": 1.0, "double": 2.0}[beta]
        self.qkv = nn.Linear(input_size, 3 * hidden_size, bias=False)
        self.beta = nn.Linear(input_size, heads, bias=False)
        self.conv = ShortConv(conv, 3 * hidden_size) if conv else None
        self.norm = nn.RMSNorm(self.key_size, eps=1e-5)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch: int) -> DeltaNetState:
        zeros = self.qkv.weight.new_zeros
        return DeltaNetState(
            s=zeros(batch, self.heads, self.key_size, self.key_size),
            window=self.conv.window(batch) if self.conv else zeros(batch, 0, 3 * self.hidden_size),
        )

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> DeltaNetProjected:
        beta = self.largest_beta * torch.sigmoid(self.beta(x))
        return DeltaNetProjected(self.qkv(x), beta.unsqueeze(-1))

    def step(
        self, p_t: DeltaNetProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], DeltaNetState]:
        s, window = state
        qkv = p_t.qkv
        if self.conv:
            qkv, window = self.conv.step(qkv, window)
        q, k, v = self._apart(qkv)
        o, s = delta_step(q, k, v, p_t.beta, s)
        return self._output(o), DeltaNetState(s, window)

    def parallel(
        self, p: DeltaNetProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], DeltaNetState]:
        s, window = state
        qkv = p.qkv
        if self.conv:
            qkv, window = self.conv.sequence(qkv, window)
        q, k, v = self._apart(qkv)
        o, s = delta_rule(q, k, v, p.beta, log_decay=torch.zeros_like(p.beta), state=s)
        return self._output(o), DeltaNetState(s, window)

    def _apart(
        self, qkv: Float[Tensor, "*time batch 3*{self.hidden_size}"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v of each head: [*time, batch, heads, features]."""
        qkv = torch.unflatten(qkv, -1, (3, self.heads, self.key_size))
        q, k, v = (qkv[..., n, :, :] for n in range(3))
        return (
            unit_length(self._phi(q)) * self.key_size**-0.5,
            unit_length(self._phi(k)),
            functional.silu(v),
        )

    def _phi(self, x: Tensor) -> Tensor:
        if self.feature == "relu":
            return torch.relu(x)
        return functional.elu(x) + 1 if self.feature == "elu" else functional.silu(x)

    def _output(
        self, o: Float[Tensor, "*time batch heads value"]
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        y: Tensor = self.output(self.norm(o).flatten(-2))
        return y
