"""LSTM: a memory that is written, kept and shown by gates."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import State
from cellbench.cells.torch_layer import TorchLayer
from cellbench.errors import OptionError

SHORTEST = 3
"""The least `longest`: with 2, ln U(1, longest - 1) is 0 for every memory."""


class LSTMState(NamedTuple):
    """What LSTM remembers."""

    h: Tensor
    c: Tensor


@final
class LSTM(TorchLayer):
    """Long short-term memory with a forget gate.

        i, f, g, o = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh    stacked in this order

        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)     keep, and write
        h_t = sigmoid(o) * tanh(c_t)                          show, and y_t = h_t

    `init="chrono"` (Tallec & Ollivier 2018, "Can recurrent neural networks warp time?",
    arXiv:1804.11188) is for dependencies of up to `longest` steps: at the start the biases of f
    are ln U(1, longest - 1), so that the memories forget after as many steps, and those of i are
    the same but for the sign. All else starts as ever.

    Source: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", Neural Computation
    9(8); the forget gate, Gers et al. 2000, "Learning to Forget", Neural Computation 12(10).
    Differs from it: no peepholes, one memory to a gate, tanh for both squashing functions,
    two bias vectors, of which one would do, and the initial values, all as in
    `torch.nn.LSTM`.

    Parameters: 4*H*(X + H) + 8*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        forget_bias: Added to the forget gate's bias at the start; learned from there.
        init: "torch", or "chrono" for the biases of f and i; that leaves no place for forget_bias.
        longest: Of "chrono", the most steps between a cause and its effect, at least 3; else 0.
    """

    gates = 4
    layer = nn.LSTM

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 0.0,
        init: str = "torch",
        longest: int = 0,
    ) -> None:
        options.real("forget_bias", forget_bias, low=0.0)
        options.choice("init", init, ("torch", "chrono"))
        options.whole("longest", longest, low=SHORTEST if init == "chrono" else 0)
        if init == "torch" and longest:
            raise OptionError(f"longest must be 0 unless init=chrono, not {longest}.")
        if init == "chrono" and forget_bias:
            raise OptionError(f"forget_bias must be 0 with init=chrono, not {forget_bias!r}.")
        super().__init__(input_size, hidden_size)
        self.bias_ih.detach()[hidden_size : 2 * hidden_size] += forget_bias
        if init == "chrono":
            self._warp(longest)

    @torch.no_grad()
    def _warp(self, longest: int) -> None:
        """Set the biases of i and f; of the two of each, one."""
        i, f, _, _ = self.bias_ih.chunk(4)
        f.uniform_(1, longest - 1).log_()
        i.copy_(-f)
        self.bias_hh.chunk(2)[0].zero_()

    def initial_state(self, batch: int) -> LSTMState:
        zeros = self.weight_hh.new_zeros
        return LSTMState(zeros(batch, self.hidden_size), zeros(batch, self.hidden_size))

    def step(
        self, p_t: Float[Tensor, "batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], LSTMState]:
        h, c = state
        gates = functional.linear(p_t, self.weight_ih, self.bias_ih) + functional.linear(
            h, self.weight_hh, self.bias_hh
        )
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, LSTMState(h, c)

    def parallel(
        self, p: Float[Tensor, "time batch {self.input_size}"], state: State
    ) -> tuple[Float[Tensor, "time batch {self.hidden_size}"], LSTMState]:
        start = [part.unsqueeze(0) for part in state]
        y, h, c = self.kernel(torch.lstm, p, start)
        return y, LSTMState(h.squeeze(0), c.squeeze(0))
