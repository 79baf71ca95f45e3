"""RWKV-4: an average of all values, weighed by their keys and by how long ago they were."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.scan import linear_scan
from cellbench.cells.token_shift import ramp, shifted


class RWKV4State(NamedTuple):
    """What RWKV4 remembers: a exp(-p), b exp(-p) and p; and the last input."""

    a: Tensor
    b: Tensor
    p: Tensor
    x: Tensor


@final
class RWKV4(ParallelCell):
    """RWKV-4: its time mixing.

    Each n of k, v, r sees its own mixture of an input and the one before it:

        x_n = mix_n * x_t + (1 - mix_n) * x_{t-1}
        k, v, r = W_k x_k, W_v x_v, W_r x_r
        y_t = W_o (sigmoid(r) * (a_{t-1} + exp(u + k) * v) / (b_{t-1} + exp(u + k)))
        a_t = exp(-w) * a_{t-1} + exp(k) * v                sum of the values
        b_t = exp(-w) * b_{t-1} + exp(k)                    sum of their weights

    All is elementwise but the products with W; w = exp(decay), and u, the weight of the current
    value, are learned for each feature. Exponentials of k overflow: with the largest exponent
    so far, p_t = max(p_{t-1} - w, k), the state holds a exp(-p) and b exp(-p).

    No gate reads the state: p is a running maximum, and with it known for all of time, one
    scan makes every a and b.

    Source: Peng et al. 2023, "RWKV: Reinventing RNNs for the Transformer Era", arXiv:2305.13048.
    Differs from it: input_size and hidden_size may differ. It starts as a first layer in its
    authors' code, but for the matrices, which start as torch's linear layers.

    Parameters: 3*X + 3*H*X + 2*H + H*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of a and b, and of each output vector.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        self.input_size = input_size
        self.hidden_size = hidden_size
        powers = (1.0, 1.0, 0.5)  # k, v, r
        self.mix = nn.Parameter(1 - torch.stack([ramp(input_size, power) for power in powers]))
        self.key = nn.Linear(input_size, hidden_size, bias=False)
        self.value = nn.Linear(input_size, hidden_size, bias=False)
        self.receptance = nn.Linear(input_size, hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, hidden_size, bias=False)
        feature = torch.arange(hidden_size)
        self.decay = nn.Parameter(-5 + 8 * (feature / max(hidden_size - 1, 1)) ** 0.7)
        self.u = nn.Parameter(math.log(0.3) + 0.5 * ((feature + 1) % 3 - 1))

    def initial_state(self, batch: int) -> RWKV4State:
        zeros = self.key.weight.new_zeros
        return RWKV4State(
            a=zeros(batch, self.hidden_size),
            b=zeros(batch, self.hidden_size),
            p=zeros(batch, self.hidden_size) - 1e38,  # of no weight beside any key
            x=zeros(batch, self.input_size),
        )

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RWKV4State]:
        a, b, p, before = state
        k, v, r = self._make(p_t, before)
        y = self._read(k, v, r, RWKV4State(a, b, p, before))
        decayed = p - self.decay.exp()
        p = _larger(decayed, k)
        old, new = torch.exp(decayed - p), torch.exp(k - p)
        return y, RWKV4State(a=old * a + new * v, b=old * b + new, p=p, x=p_t)

    def parallel(
        self, p: Float[Tensor, "time batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], RWKV4State]:
        a, b, p_0, before = state
        k, v, r = self._make(p, shifted(p, before))
        w = self.decay.exp()
        # p_t + t w is the largest so far of k_s + s w, and of p_0.
        steps = torch.arange(len(p) + 1, device=w.device, dtype=w.dtype).view(-1, 1, 1)
        p_all = torch.cat([p_0.unsqueeze(0), k + steps[1:] * w]).cummax(0).values - steps * w
        p_old, p_new = p_all[:-1], p_all[1:]
        old, new = torch.exp(p_old - w - p_new), torch.exp(k - p_new)
        sums = linear_scan(
            old.unsqueeze(1).expand(-1, 2, -1, -1),
            torch.stack([new * v, new], dim=1),
            torch.stack([a, b]),
        )
        all_a, all_b = torch.cat([torch.stack([a, b]).unsqueeze(0), sums]).unbind(1)
        y = self._read(k, v, r, RWKV4State(all_a[:-1], all_b[:-1], p_old, before))
        return y, RWKV4State(all_a[-1], all_b[-1], p_all[-1], p[-1])

    def _make(
        self,
        x: Float[Tensor, "*time batch {self.input_size}"],
        before: Float[Tensor, "*time batch {self.input_size}"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return k, v and r."""
        x_k, x_v, x_r = (torch.addcmul(before, self.mix[n], x - before) for n in range(3))
        return self.key(x_k), self.value(x_v), self.receptance(x_r)

    def _read(
        self, k: Tensor, v: Tensor, r: Tensor, state: RWKV4State
    ) -> Float[Tensor, "*time batch {self.hidden_size}"]:
        """Return y, from the state before the step."""
        current = self.u + k
        largest = _larger(state.p, current)
        old, new = torch.exp(state.p - largest), torch.exp(current - largest)
        average = (old * state.a + new * v) / (old * state.b + new)
        y: Tensor = self.output(torch.sigmoid(r) * average)
        return y


def _larger(one: Tensor, other: Tensor) -> Tensor:
    """Return the larger numbers: `torch.maximum`, but a compiled step can differentiate it."""
    return torch.where(one > other, one, other)
