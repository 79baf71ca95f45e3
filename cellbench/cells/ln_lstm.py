"""LN-LSTM: an LSTM whose gates and memory are normalised."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.gates import GateNorm, apart, by_gate, forget_only, remember


class LNLSTMState(NamedTuple):
    """What LNLSTM remembers."""

    h: Tensor
    c: Tensor


@final
class LNLSTM(Cell):
    """Long short-term memory with layer normalisation.

        i, f, o, g = W_x x_t + b + W_h h_{t-1}                        stacked in this order

        c_t = sigmoid(LN(f) + forget_bias) * c_{t-1} + sigmoid(LN(i)) * tanh(LN(g))
        h_t = sigmoid(LN(o)) * tanh(LN(c_t))                          and y_t = h_t

    Each LN has its own gain and shift and sees the features of its gate only. The gates
    that take a sigmoid stand together, so that one call serves all three.

    Source: Ba et al. 2016, "Layer Normalization", arXiv:1607.06450; in the form of
    Ha et al. 2016, "HyperNetworks", arXiv:1609.09106.
    Differs from it: the first source normalises W_x x and W_h h apart and adds b after
    that, here their sum with b is normalised, gate by gate, as in the second;
    forget_bias; W_x and W_h start out orthogonal, gate by gate, and b as 0.

    Parameters: 4*H*(X + H) + 4*H + 10*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        ln_eps: Added to each variance.
        forget_bias: Added to the forget gate after its normalisation; not learned.
    """

    forget_offset: Tensor

    def __init__(
        self, input_size: int, hidden_size: int, *, ln_eps: float = 1e-5, forget_bias: float = 0.0
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.real("ln_eps", ln_eps, low=1e-12)
        options.real("forget_bias", forget_bias, low=0.0)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.forget_bias = forget_bias
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.norm = GateNorm(4, hidden_size, eps=ln_eps)
        self.norm_c = nn.LayerNorm(hidden_size, eps=ln_eps)
        self.register_buffer("forget_offset", forget_only(forget_bias), persistent=False)
        by_gate(nn.init.orthogonal_, self.weight_x)
        by_gate(nn.init.orthogonal_, self.weight_h)

    def initial_state(self, batch: int) -> LNLSTMState:
        zeros = self.weight_h.new_zeros
        return LNLSTMState(zeros(batch, self.hidden_size), zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 4*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch 4*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], LNLSTMState]:
        h, c = state
        gates = torch.addmm(p_t, h, self.weight_h.t())
        gates = self.norm(apart(gates, 4))
        if self.forget_bias:
            gates = gates + self.forget_offset
        o, c = remember(gates, c)
        h = o * torch.tanh(self.norm_c(c))
        return h, LNLSTMState(h, c)
