"""QRNN: a convolution over time, pooled by gates that it makes itself."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.scan import linear_scan

GATES = {"f": 2, "fo": 3, "ifo": 4}
"""Kind of pooling -> blocks of rows of W."""


class QRNNState(NamedTuple):
    """What QRNN remembers: the memory, and the last inputs, oldest first."""

    c: Tensor
    inputs: Tensor


@final
class QRNN(ParallelCell):
    """Quasi-recurrent network.

        z, f, o, i = W [x_{t-k+1}; ...; x_t] + b                 stacked in this order

        f_t = sigmoid(f)                                         how much to keep
        c_t = f_t * c_{t-1} + i_t * tanh(z),  i_t = 1 - f_t      keep, and write
        h_t = sigmoid(o) * c_t                                   show, and y_t = h_t

    This is pooling "fo". With "f" there is no o, and h_t = c_t; with "ifo" i_t = sigmoid(i).

    No gate reads c: what is left is linear in it, and one scan solves all of time. Before the
    first step all inputs were 0.

    With zoneout, f_t = 1 - m_t * (1 - sigmoid(f)) while training, where each feature of m_t is 0
    with this chance at each step, and else 1: such a feature is kept as it is. Nothing is
    rescaled for it.

    Source: Bradbury et al. 2017, "Quasi-Recurrent Neural Networks", arXiv:1611.01576.
    Differs from it: b, which the paper does not write; all starts out as in `torch.nn.Conv1d`.

    Parameters: (2 + (pooling == "fo") + 2*(pooling == "ifo"))*H*(window*X + 1)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the memory and of each output vector.
        window: How many inputs a gate sees, k.
        pooling: "f", "fo" or "ifo".
        zoneout: Chance of keeping a feature of c while training.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        window: int = 2,
        pooling: str = "fo",
        zoneout: float = 0.0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("window", window, low=1)
        options.choice("pooling", pooling, tuple(GATES))
        options.real("zoneout", zoneout, low=0.0, below=1.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.window = window
        self.gates = GATES[pooling]
        self.zoneout = zoneout
        self.conv = nn.Linear(window * input_size, self.gates * hidden_size)

    def initial_state(self, batch: int) -> QRNNState:
        zeros = self.conv.weight.new_zeros
        return QRNNState(
            c=zeros(batch, self.hidden_size),
            inputs=zeros(batch, self.window - 1, self.input_size),
        )

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], QRNNState]:
        c, inputs = state
        seen = torch.cat([inputs, p_t.unsqueeze(1)], dim=1)
        f, written, o = self._pooled(self.conv(seen.flatten(1)))
        c = f * c + written
        return o * c, QRNNState(c, seen[:, 1:])

    def parallel(
        self, p: Float[Tensor, "time batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], QRNNState]:
        c, inputs = state
        seen = torch.cat([inputs.transpose(0, 1), p])
        windows = [seen[lag : lag + len(p)] for lag in range(self.window)]
        f, written, o = self._pooled(self.conv(torch.cat(windows, dim=-1)))
        c = linear_scan(f, written, c)
        return o * c, QRNNState(c[-1], seen[len(p) :].transpose(0, 1))

    def _pooled(
        self, gates: Float[Tensor, "*time rows"]
    ) -> tuple[
        Float[Tensor, "*time {self.hidden_size}"],
        Float[Tensor, "*time {self.hidden_size}"],
        Float[Tensor, "*time {self.hidden_size}"],
    ]:
        """Return how much of c is kept, what is written to it, and how much of it is shown."""
        z, f, *others = gates.chunk(self.gates, dim=-1)
        f = torch.sigmoid(f)
        if self.zoneout and self.training:
            f = 1 - (1 - self.zoneout) * functional.dropout(1 - f, self.zoneout)
        others = [torch.sigmoid(gate) for gate in others]
        o = others[0] if others else torch.ones_like(f)
        i = others[1] if len(others) > 1 else 1 - f
        return f, i * torch.tanh(z), o
