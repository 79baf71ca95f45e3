"""sLSTM: an LSTM with an exponential input gate and a normaliser."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State

STARTS = ("powerlaw", "linspace")


class SLSTMState(NamedTuple):
    """What SLSTM remembers: output, memory, normaliser, and the exponent both are scaled by."""

    h: Tensor
    c: Tensor
    n: Tensor
    m: Tensor


@final
class SLSTM(Cell):
    """Scalar LSTM of xLSTM: it can overwrite what it stored with something far stronger.

        i, f, z, o = W x_t + R h_{t-1} + b                 stacked head by head in this order
        log f = logsigmoid(f), or f ("exponential")        R: a block for each head
        m_t = max(log f + m_{t-1}, i)                      exponent that c and n are scaled by
        i' = exp(i - m_t)    f' = exp(log f + m_{t-1} - m_t)
        c_t = f' * c_{t-1} + i' * tanh(z)                  memory
        n_t = f' * n_{t-1} + i'                            how much was put into it
        h_t = sigmoid(o) * c_t / n_t                       and y_t = h_t

    m only keeps the exponentials from overflowing: c / n does not depend on it. With the
    lowest m_0 there is, the first step is m_1 = i, and from then on n is at least 1.

    Source: Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", arXiv:2405.04517.
    Differs from it: `floor`, which is of the authors' later kernels (FlashRNN); how weights
    start, which is taken from their code (package xlstm): W from N(0, 2 / (5 X)), R and b
    at 0, but for b of the forget gate. The block around it (convolution, normalisation of
    each head) is left to the model.

    Parameters: 4*H*X + 4*H*H/heads + 4*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        heads: How many blocks R has; units of different heads do not see each other.
        forget_gate: "sigmoid" or "exponential".
        floor: Whether n_t is kept at 1 or above, also where a given state has a smaller n.
        init: How the biases of the forget gate are spread over each head: "powerlaw", from
            5 to -7, steeply at first; or "linspace", from 3 to 6.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 1,
        forget_gate: str = "sigmoid",
        floor: bool = False,
        init: str = "powerlaw",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.divides("heads", heads, "hidden_size", hidden_size)
        options.choice("forget_gate", forget_gate, ("sigmoid", "exponential"))
        options.flag("floor", floor)
        options.choice("init", init, STARTS)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.heads = heads
        self.forget_gate = forget_gate
        self.floor = floor
        features = hidden_size // heads
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.zeros(heads, 4 * features, features))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        nn.init.normal_(self.weight_x, std=math.sqrt(2 / (5 * input_size)))
        along = torch.linspace(0, 1, features)
        spread = 5 - 12 * along**0.3 if init == "powerlaw" else 3 + 3 * along
        self.bias.detach().view(heads, 4, features)[:, 1] = spread

    def initial_state(self, batch: int) -> SLSTMState:
        zeros = self.weight_h.new_zeros(batch, self.hidden_size)
        lowest = torch.full_like(zeros, torch.finfo(zeros.dtype).min)
        return SLSTMState(zeros, zeros.clone(), zeros.clone(), lowest)

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 4*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch 4*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], SLSTMState]:
        h, c, n, m = state
        i, f, z, o = self._gates(p_t, h)
        if self.forget_gate == "sigmoid":
            f = functional.logsigmoid(f)
        kept = f + m
        m = torch.where(kept > i, kept, i)  # not maximum: its backward writes in place
        i, f = torch.exp(i - m), torch.exp(kept - m)
        c = f * c + i * torch.tanh(z)
        n = f * n + i
        if self.floor:
            n = n.clamp(min=1)
        h = torch.sigmoid(o) * c / n
        return h, SLSTMState(h, c, n, m)

    def _gates(
        self,
        p_t: Float[Tensor, "batch 4*{self.hidden_size}"],
        h: Float[Tensor, "batch {self.hidden_size}"],
    ) -> list[Float[Tensor, "batch {self.hidden_size}"]]:
        """Return i, f, z and o, before squashing."""
        batch = len(h)
        by_head = h.view(batch, self.heads, -1).transpose(0, 1)
        recurrent = torch.bmm(by_head, self.weight_h.mT).transpose(0, 1)
        gates = p_t.view(batch, self.heads, 4, -1) + recurrent.reshape(batch, self.heads, 4, -1)
        return [gate.flatten(1) for gate in gates.unbind(2)]
