"""JANET: an LSTM with the forget gate alone."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.stacked_gates import HiddenGates, HiddenState


@final
class JANET(HiddenGates):
    """Just another network: an LSTM whose only gate forgets.

        s, n = W_x x_t + W_h h_{t-1} + b                             stacked in this order

        h_t = sigmoid(s) * h_{t-1} + (1 - sigmoid(s - beta)) * tanh(n)     and y_t = h_t

    With beta above 0 it writes more than it forgets.

    With `init="chrono"` the bias of s starts as ln u, u from U(1, t_max - 1), and that of n as 0:
    features then forget over 1 ... t_max steps. With "torch" both are as in `torch.nn.LSTM`.

    Source: van der Westhuizen & Lasenby 2018, "The unreasonable effectiveness of the forget
    gate", arXiv:1804.04849.
    Differs from it: t_max is a default and not the length of the task; W_x and W_h start out as
    in `torch.nn.LSTM`.

    Parameters: 2*H*(X + H) + 2*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        beta: Taken from the forget gate before it is turned into an input gate; not learned.
        init: "chrono" or "torch".
        t_max: The longest dependency to expect, for "chrono".
    """

    x_gates = 2
    h_gates = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        beta: float = 1.0,
        init: str = "chrono",
        t_max: int = 100,
    ) -> None:
        options.real("beta", beta, low=0.0)
        options.choice("init", init, ("chrono", "torch"))
        options.whole("t_max", t_max, low=3)
        super().__init__(input_size, hidden_size)
        self.beta = beta
        if init == "chrono":
            forget, candidate = self.bias.detach().chunk(2)
            nn.init.uniform_(forget, 1.0, t_max - 1.0).log_()
            nn.init.zeros_(candidate)

    def step(
        self, p_t: Float[Tensor, "batch 2*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], HiddenState]:
        (h,) = state
        s, n = torch.addmm(p_t, h, self.weight_h.t()).chunk(2, dim=-1)
        h = torch.sigmoid(s) * h + (1 - torch.sigmoid(s - self.beta)) * torch.tanh(n)
        return h, HiddenState(h)
