"""minLSTM: an LSTM whose gates do not look at the previous state."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import ParallelCell, State
from cellbench.cells.scan import gated_scan


class MinLSTMState(NamedTuple):
    """What MinLSTM remembers."""

    h: Tensor


class MinLSTMProjected(NamedTuple):
    """What MinLSTM makes of its inputs: the normalised input gate i', and the candidate."""

    i: Tensor
    c: Tensor


@final
class MinLSTM(ParallelCell):
    """Minimal long short-term memory: two gates that share one unit of weight.

        f_t = sigmoid(W_f x_t + b_f)            how much to keep
        i_t = sigmoid(W_i x_t + b_i)            how much to write
        c_t = phi(W_c x_t + b_c)                what to write
        f'_t = f_t / (f_t + i_t)                both as shares of their sum, so that the
        i'_t = i_t / (f_t + i_t)                scale of h does not depend on time
        h_t = f'_t * h_{t-1} + i'_t * c_t       and y_t = h_t

    phi(v) is v ("linear"), or v + 1/2 where v >= 0 and sigmoid(v) elsewhere ("positive").

    As f' + i' = 1 it is a minGRU with another gate, and is solved by the same scan. i' is
    made as sigmoid(ln i - ln f): two gates that are both all but closed are never divided by.

    Source: Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201.
    Differs from it: the scan is a plain one, not one of logarithms, so neither c_t nor h
    has to be positive and h_0 is 0; "positive" is the phi of the paper's logarithmic form.

    Parameters: 3*H*X + 3*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        candidate: "linear" or "positive".
    """

    def __init__(self, input_size: int, hidden_size: int, *, candidate: str = "linear") -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.choice("candidate", candidate, ("linear", "positive"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.positive = candidate == "positive"
        self.forget = nn.Linear(input_size, hidden_size)
        self.write = nn.Linear(input_size, hidden_size)
        self.candidate = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch: int) -> MinLSTMState:
        return MinLSTMState(self.forget.weight.new_zeros(batch, self.hidden_size))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> MinLSTMProjected:
        log_f = functional.logsigmoid(self.forget(x))
        log_i = functional.logsigmoid(self.write(x))
        c = self.candidate(x)
        if self.positive:
            c = torch.where(c >= 0, c + 0.5, torch.sigmoid(c))
        return MinLSTMProjected(torch.sigmoid(log_i - log_f), c)

    def step(
        self, p_t: MinLSTMProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MinLSTMState]:
        i, c = p_t
        (h,) = state
        h = (1 - i) * h + i * c
        return h, MinLSTMState(h)

    def parallel(
        self, p: MinLSTMProjected, state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], MinLSTMState]:
        i, c = p
        (h,) = state
        y = gated_scan(i, c, h)
        return y, MinLSTMState(y[-1])
