"""RelLSTM: an LSTM that reads its last output mixed with what was relevant of the past."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.gates import apart, by_gate, remember
from cellbench.cells.relevance import Relevant, keep, mix, nothing_yet
from cellbench.cells.tape import AdditiveScore


class RelLSTMState(NamedTuple):
    """What RelLSTM remembers: the four parts of its memory, see Relevant, the last s, and c."""

    h: Tensor
    keys: Tensor
    filled: Tensor
    relevance: Tensor
    s: Tensor
    c: Tensor


@final
class RelLSTM(Cell):
    """Self-attentive LSTM with relevancy screening.

        a_j = v . tanh(K h_j + Q s_{t-2})             for each j in the buffer or the set
        p   = softmax(a)
        s_{t-1} = (h_{t-1} + sum_j p_j h_j) / 2       0 as long as there is no h
        r_j = r_j + p_j                               for each j in the buffer; at first 0

        i, f, o, g = W_x x_t + W_h s_{t-1} + b        stacked in this order
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)                  and y_t = h_t

    The buffer is of the last `recent` steps. What leaves it goes into the relevant set, of at
    most `relevant` steps: if that is full, in place of the one with the smallest r, or
    nowhere if its own r is no greater. r is the attention that a step got while it was in
    the buffer; it chooses, and no gradient goes through it. c is not attended to.

    Source: Kerg et al. 2020, "Untangling tradeoffs between recurrence and self-attention
    in neural networks", arXiv:2006.09471.
    Differs from it: b starts as 0, where in its authors' code it starts as that of
    torch.nn.Linear. As there, the weights of each gate, [W_h, W_x], and v start as Glorot and
    Bengio have it, from a normal distribution, K and Q as those of torch.nn.Linear.

    Parameters: 4*H*(X + H) + 4*H + 2*H*H + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of h and c, of keys and queries, and of each output vector.
        recent: How many of the last steps are in the buffer.
        relevant: How many of the steps before them are in the relevant set.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, recent: int = 10, relevant: int = 10
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("recent", recent, low=1)
        options.whole("relevant", relevant, low=1)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.recent = recent
        self.relevant = relevant
        both = torch.empty(4 * hidden_size, hidden_size + input_size)
        by_gate(nn.init.xavier_normal_, both)
        self.weight_h = nn.Parameter(both[:, :hidden_size].clone())
        self.weight_x = nn.Parameter(both[:, hidden_size:].clone())
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.scores = AdditiveScore(hidden_size)  # K, Q, v

    def initial_state(self, batch: int) -> RelLSTMState:
        zeros = self.weight_h.new_zeros
        memory = nothing_yet(zeros(batch, self.recent + self.relevant, self.hidden_size))
        s, c = zeros(batch, self.hidden_size), zeros(batch, self.hidden_size)
        return RelLSTMState(*memory, s=s, c=c)

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 4*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch 4*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RelLSTMState]:
        *parts, s, c = state
        memory = Relevant(*parts)
        s, memory = mix(memory, self.scores(memory.keys, s), self.recent)
        gates = torch.addmm(p_t, s, self.weight_h.t())
        o, c = remember(apart(gates, 4), c)
        h = o * torch.tanh(c)
        memory = keep(memory, h, self.scores.key(h), self.recent)
        return h, RelLSTMState(*memory, s=s, c=c)
