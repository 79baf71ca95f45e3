"""RelRNN: MemRNN with a memory of fixed size, which keeps what was relevant."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.relevance import Relevant, keep, mix, nothing_yet
from cellbench.cells.tape import AdditiveScore


class RelRNNState(NamedTuple):
    """What RelRNN remembers: the four parts of its memory, see Relevant, and the last s."""

    h: Tensor
    keys: Tensor
    filled: Tensor
    relevance: Tensor
    s: Tensor


@final
class RelRNN(Cell):
    """Self-attentive simple RNN with relevancy screening.

        a_j = v . tanh(K h_j + Q s_{t-2})             for each j in the buffer or the set
        p   = softmax(a)
        s_{t-1} = (h_{t-1} + sum_j p_j h_j) / 2       0 as long as there is no h
        r_j = r_j + p_j                               for each j in the buffer; at first 0
        h_t = f(V s_{t-1} + U x_t + b)                and y_t = h_t

    f is tanh or max(0, .). The buffer is of the last `recent` steps. What leaves it goes into
    the relevant set, of at most `relevant` steps: if that is full, in place of the one with
    the smallest r, or nowhere if its own r is no greater. r is the attention that a step got
    while it was in the buffer; it chooses, and no gradient goes through it.

    So it is MemRNN as long as no step has left the buffer, and after that costs
    O((recent + relevant) hidden_size) a step for ever.

    Source: Kerg et al. 2020, "Untangling tradeoffs between recurrence and self-attention
    in neural networks", arXiv:2006.09471.
    Differs from it: the s that asks at the second step is 0, where its authors' code takes
    U x_1 + b; modReLU is left out. Weights start as in their code: U, V and v as Glorot and
    Bengio have it, from a normal distribution, K, Q and b as those of torch.nn.Linear;
    `init="orthogonal"` makes V orthogonal.

    Parameters: H*X + H + 3*H*H + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state, of keys and queries, and of each output vector.
        recent: How many of the last steps are in the buffer.
        relevant: How many of the steps before them are in the relevant set.
        nonlinearity: "tanh" or "relu".
        init: "xavier" or "orthogonal".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recent: int = 10,
        relevant: int = 10,
        nonlinearity: str = "tanh",
        init: str = "xavier",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("recent", recent, low=1)
        options.whole("relevant", relevant, low=1)
        options.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        options.choice("init", init, ("xavier", "orthogonal"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.recent = recent
        self.relevant = relevant
        self.squash = torch.tanh if nonlinearity == "tanh" else torch.relu
        self.input = nn.Linear(input_size, hidden_size)  # U, b
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)  # V
        self.scores = AdditiveScore(hidden_size)  # K, Q, v
        nn.init.xavier_normal_(self.input.weight)
        draw = nn.init.xavier_normal_ if init == "xavier" else nn.init.orthogonal_
        draw(self.recurrent.weight)

    def initial_state(self, batch: int) -> RelRNNState:
        zeros = self.recurrent.weight.new_zeros
        memory = nothing_yet(zeros(batch, self.recent + self.relevant, self.hidden_size))
        return RelRNNState(*memory, s=zeros(batch, self.hidden_size))

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        projected: Tensor = self.input(x)
        return projected

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], RelRNNState]:
        *parts, s = state
        memory = Relevant(*parts)
        s, memory = mix(memory, self.scores(memory.keys, s), self.recent)
        h = self.squash(p_t + self.recurrent(s))
        memory = keep(memory, h, self.scores.key(h), self.recent)
        return h, RelRNNState(*memory, s=s)
