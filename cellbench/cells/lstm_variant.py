"""LSTM variants: a peephole LSTM with one thing taken away."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.stacked_gates import MemoryGates, MemoryState

WITHOUT = {"nig": "i", "nfg": "f", "nog": "o", "cifg": "f"}
"""Kind -> the gate that has no weights."""

KINDS = ("vanilla", *WITHOUT, "niaf", "noaf", "np")


@final
class LSTMVariant(MemoryGates):
    """The LSTM variants of a large ablation study.

    Vanilla is a peephole LSTM:

        i, f, g, o = W_x x_t + W_h h_{t-1} + b               stacked in this order

        i   = sigmoid(i + p_i * c_{t-1})
        f   = sigmoid(f + p_f * c_{t-1})
        c_t = f * c_{t-1} + i * tanh(g)
        o   = sigmoid(o + p_o * c_t)
        h_t = o * tanh(c_t)                                  and y_t = h_t

    and each of the others differs from it in one thing:

        nig     i = 1                          no input gate
        nfg     f = 1                          no forget gate
        nog     o = 1                          no output gate
        cifg    f = 1 - i                      coupled input and forget gate
        niaf    g in place of tanh(g)          no input activation function
        noaf    c_t in place of tanh(c_t)      no output activation function
        np      p = 0                          no peepholes

    What is not there has no weights. p starts as 0.

    Source: Greff et al. 2017, "LSTM: A Search Space Odyssey", arXiv:1503.04069.
    Differs from it: full gate recurrence is left out; the initial values, which are, but for p,
    those of `torch.nn.LSTM`.

    Parameters: (4 - (kind in ("nig", "nfg", "nog", "cifg")))*(H*(X + H) + H)
        + (kind != "np")*(3 - (kind in ("nig", "nfg", "nog", "cifg")))*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        kind: "vanilla" or one of the others.
    """

    def __init__(self, input_size: int, hidden_size: int, *, kind: str = "cifg") -> None:
        options.choice("kind", kind, KINDS)
        names = [name for name in "ifgo" if name != WITHOUT.get(kind)]
        self.x_gates = self.h_gates = len(names)
        super().__init__(input_size, hidden_size)
        self.kind = kind
        self.names = names
        peeping = [name for name in names if name != "g"]
        self.peeping = peeping if kind != "np" else []
        self.peepholes = (
            nn.Parameter(torch.zeros(len(peeping), hidden_size)) if kind != "np" else None
        )

    def step(
        self, p_t: Float[Tensor, "batch {self.x_gates}*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MemoryState]:
        h, c = state
        stacked = torch.addmm(p_t, h, self.weight_h.t())
        rows = torch.split(stacked, self.hidden_size, dim=-1)
        gates = dict(zip(self.names, rows, strict=True))
        i = self._opened("i", gates, c)
        f = 1 - i if self.kind == "cifg" else self._opened("f", gates, c)
        g = gates["g"] if self.kind == "niaf" else torch.tanh(gates["g"])
        c = f * c + i * g
        o = self._opened("o", gates, c)
        h = o * (c if self.kind == "noaf" else torch.tanh(c))
        return h, MemoryState(h, c)

    def _opened(
        self,
        name: str,
        gates: dict[str, Tensor],
        c: Float[Tensor, "batch {self.hidden_size}"],
    ) -> Tensor | float:
        """Return how far a gate is open; one that is not there always is."""
        if name not in gates:
            return 1.0
        if self.peepholes is None:
            return torch.sigmoid(gates[name])
        return torch.sigmoid(gates[name] + self.peepholes[self.peeping.index(name)] * c)
