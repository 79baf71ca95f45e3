"""RG-LRU: a linear recurrence whose decay the input chooses."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.scan import linear_scan

SHARPNESS = 8
"""c in the paper: where r = 1, h decays as fast as 8 steps of exp(-softplus(decay)) would."""


class RGLRUState(NamedTuple):
    """What RGLRU remembers."""

    h: Tensor


class RGLRUProjected(NamedTuple):
    """What RGLRU makes of its inputs: what is kept of h, and what is added."""

    a: Tensor
    added: Tensor


@final
class RGLRU(ParallelCell):
    """Real-gated linear recurrent unit, of Griffin.

        u_t = W x_t + b                                   as wide as h
        r_t = sigmoid(W_r u_t + b_r)                      recurrence gate
        i_t = sigmoid(W_i u_t + b_i)                      input gate
        a_t = exp(-8 softplus(decay) * r_t)               what is kept; 1 where r_t = 0
        h_t = a_t * h_{t-1} + sqrt(1 - a_t^2) * (i_t * u_t)        and y_t = h_t

    A closed recurrence gate holds h and reads nothing. W_r and W_i have a block on the
    diagonal for each of `blocks`. 1 - a^2 is made as -expm1(2 log a), which keeps its digits
    where a is all but 1.

    Source: De et al. 2024, "Griffin: Mixing Gated Linear Recurrences with Local Attention for
    Efficient Language Models", arXiv:2402.19427.
    Differs from it: u is x itself there, made by a layer before (with a convolution, which
    is left to the model, and so is the branch that gates y). The released code also reads
    the first step of a sequence whole, without sqrt(1 - a^2); this does not. How weights
    start is taken from that code; `init="open"` gives longer memories.

    Parameters: H*X + H + 2*(H*H/blocks + H) + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        blocks: Blocks of W_r and W_i.
        init: What is spread evenly at the start, with e = exp(-softplus(decay)): "released",
            e^2 from 0.9^2 to 0.999^2; "open", e^8, which is a where r is 1, from 0.9 to 0.999.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, blocks: int = 1, init: str = "released"
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("blocks", blocks, "hidden_size", hidden_size)
        options.choice("init", init, ("released", "open"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.blocks = blocks
        size = hidden_size // blocks
        self.enter = nn.Linear(input_size, hidden_size)
        self.gates = nn.Parameter(torch.randn(2, blocks, size, size) / math.sqrt(size))  # r, i
        self.gate_bias = nn.Parameter(torch.zeros(2, hidden_size))
        power, low, high = (8, 0.9, 0.999) if init == "open" else (2, 0.9**2, 0.999**2)
        log_a = torch.empty(hidden_size).uniform_(low, high).log() / power
        self.decay = nn.Parameter(torch.expm1(-log_a).log())  # softplus(decay) = -log a

    def initial_state(self, batch: int) -> RGLRUState:
        return RGLRUState(self.decay.new_zeros(batch, self.hidden_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> RGLRUProjected:
        u = self.enter(x)
        by_block = u.view(*u.shape[:-1], self.blocks, -1)
        r, i = torch.einsum("tbki,gkoi->gtbko", by_block, self.gates).flatten(-2).unbind()
        r = torch.sigmoid(r + self.gate_bias[0])
        i = torch.sigmoid(i + self.gate_bias[1])
        log_a = -SHARPNESS * functional.softplus(self.decay) * r
        # The root of 0 has no finite gradient; of the least number above it, one that clamp drops.
        rest = (-torch.expm1(2 * log_a)).clamp(min=torch.finfo(log_a.dtype).tiny)
        return RGLRUProjected(torch.exp(log_a), rest.sqrt() * (i * u))

    def step(
        self, p_t: RGLRUProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RGLRUState]:
        a, added = p_t
        (h,) = state
        h = a * h + added
        return h, RGLRUState(h)

    def parallel(
        self, p: RGLRUProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], RGLRUState]:
        a, added = p
        (h,) = state
        y = linear_scan(a, added, h)
        return y, RGLRUState(y[-1])
