"""Attention: causal self-attention with several heads, which carries its keys and values."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.tape import write


class AttentionState(NamedTuple):
    """What Attention remembers: its tape, oldest entry first, and how many steps it made.

    keys (which are turned already) and values are the entries, [batch, entries, hidden];
    steps, [batch], tells how many entries of a bounded tape are free, and the next position.
    """

    keys: Tensor
    values: Tensor
    steps: Tensor


@final
class Attention(ParallelCell):
    """Causal softmax self-attention; the keys and values of the past are its state.

        q_t, k_t, v_t = W_x x_t + b                   a query, a key, a value; each of all heads

        a_j = (R_t q_t) . (R_j k_j) / sqrt(d)         of each head, for each j <= t on the tape
        p   = softmax(a)
        o_t = sum_j p_j v_j
        y_t = W_o o_t + b_o                           of the heads side by side

    d = hidden_size / heads. With `positions="rotary"` R_t turns each pair of features
    2 i, 2 i + 1 of a head by the angle t * 10000^(-2 i / d), so that a_j depends on how far
    back j is; an odd feature stays as it is. With "none", R_t is the identity, and the order
    of what is on the tape makes no difference.

    No state is fed back: all of time is one masked product, and what a recurrent cell gives
    beyond it is what recurrence buys. The price is the tape: a step costs O(t hidden_size),
    and all of time takes O(T^2 heads) of memory, also with a bounded tape.

    Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762; rotary
    positions of Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position
    Embedding", arXiv:2104.09864.
    Differs from it: the first source adds sinusoids to the inputs, below the first layer,
    in place of turning queries and keys; input_size may differ from hidden_size; a tape may
    be bounded, which makes it a sliding window. The feed-forward layer, residuals and norms
    around it belong to the block and not to the cell. Weights start as Glorot and Bengio
    have it, each of W_q, W_k, W_v, W_o by itself, and biases as 0, as those of
    torch.nn.MultiheadAttention.

    Parameters: 3*H*X + 3*H + H*H + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of all queries, of all keys, of all values and of each output.
        heads: Number of heads; must divide hidden_size.
        positions: "rotary" or "none".
        tape: How many of the last steps are attended to, the present one among them; 0 for
            all of them.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 2,
        positions: str = "rotary",
        tape: int = 0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("heads", heads, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.choice("positions", positions, ("rotary", "none"))
        options.whole("tape", tape, low=0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.rotary = positions == "rotary"
        self.tape = tape
        self.grows = tape == 0
        self.weight_x = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.bias = nn.Parameter(torch.zeros(3 * hidden_size))
        self.output = nn.Linear(hidden_size, hidden_size)
        for block in self.weight_x.detach().chunk(3):
            nn.init.xavier_uniform_(block)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def initial_state(self, batch: int) -> AttentionState:
        zeros = self.weight_x.new_zeros
        return AttentionState(
            keys=zeros(batch, self.tape, self.hidden_size),
            values=zeros(batch, self.tape, self.hidden_size),
            steps=zeros(batch, dtype=torch.int64),
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 3*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], AttentionState]:
        past_keys, past_values, steps = state
        q, k, v = p_t.unsqueeze(1).chunk(3, dim=-1)
        q, k = self._turn(q, steps.unsqueeze(1)), self._turn(k, steps.unsqueeze(1))
        steps = steps + 1
        keys = write(past_keys, k.squeeze(1), bounded=not self.grows)
        values = write(past_values, v.squeeze(1), bounded=not self.grows)
        age = torch.arange(keys.shape[1] - 1, -1, -1, device=keys.device)
        filled = age < steps.unsqueeze(1)
        y = self._attend(q, keys, values, filled.unsqueeze(1))
        return y.squeeze(1), AttentionState(keys, values, steps)

    def parallel(
        self, p: Float[Tensor, "time batch 3*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], AttentionState]:
        past_keys, past_values, steps = state
        time, before = len(p), past_keys.shape[1]
        here = torch.arange(time, device=p.device)
        q, k, v = p.transpose(0, 1).chunk(3, dim=-1)
        at = steps.unsqueeze(1) + here
        keys = torch.cat([past_keys, self._turn(k, at)], dim=1)
        values = torch.cat([past_values, v], dim=1)
        visible = self._visible(here + before, keys.shape[1], before - steps)
        y = self._attend(self._turn(q, at), keys, values, visible)
        if self.tape:
            keys, values = keys[:, -self.tape :], values[:, -self.tape :]
        return y.transpose(0, 1), AttentionState(keys, values, steps + time)

    def _visible(
        self, here: Int[Tensor, " time"], entries: int, free: Int[Tensor, " batch"]
    ) -> Bool[Tensor, "batch time {entries}"]:
        """Tell which entries each step attends to.

        Args:
            here: The place of each step's own entry.
            entries: How many there are, with those that were on the tape.
            free: How many of the first ones were never written, or less than 0.
        """
        place = torch.arange(entries, device=here.device)
        behind = here.unsqueeze(1) - place
        seen = behind >= 0
        if self.tape:
            seen = seen & (behind < self.tape)
        return seen & (place >= free.unsqueeze(1)).unsqueeze(1)

    def _turn(
        self, features: Float[Tensor, "batch time features"], at: Int[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time features"]:
        """Turn each pair of features of each head by its angle at the positions `at`."""
        if not self.rotary:
            return features
        of_heads = self._apart(features)
        size = of_heads.shape[-1]
        pairs = size - size % 2
        first, second = of_heads[..., 0:pairs:2], of_heads[..., 1:pairs:2]
        # Of the parameters' dtype: what autocast makes of the features is too coarse for an angle.
        even = torch.arange(0, pairs, 2, dtype=self.bias.dtype, device=features.device)
        angle = (at.unsqueeze(-1) * 10000.0 ** (-even / size)).unsqueeze(-2)
        cos, sin = angle.cos(), angle.sin()
        turned = torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1)
        return torch.cat([turned.flatten(-2), of_heads[..., pairs:]], dim=-1).flatten(-2)

    def _attend(
        self,
        q: Float[Tensor, "batch time {self.hidden_size}"],
        keys: Float[Tensor, "batch entries {self.hidden_size}"],
        values: Float[Tensor, "batch entries {self.hidden_size}"],
        visible: Bool[Tensor, "batch time entries"],
    ) -> Float[Tensor, "batch time {self.hidden_size}"]:
        # Not scaled_dot_product_attention, which runs a stack of seeds one after the other on a
        # CPU, and has no second derivative.
        q, keys, values = (self._apart(part).transpose(1, 2) for part in (q, keys, values))
        a = q @ keys.mT / math.sqrt(q.shape[-1])
        p = torch.softmax(a.masked_fill(~visible.unsqueeze(1), -math.inf), dim=-1)
        y: Tensor = self.output((p @ values).transpose(1, 2).flatten(-2))
        return y

    def _apart(self, features: Float[Tensor, "*batch features"]) -> Tensor:
        """Return `[*batch, heads, d]`."""
        return features.reshape(*features.shape[:-1], self.heads, -1)
