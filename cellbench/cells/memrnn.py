"""MemRNN: a simple RNN that mixes its last state with what it attends to among all past ones."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.tape import AdditiveScore, read, softmax_of_filled, write


class MemRNNState(NamedTuple):
    """What MemRNN remembers: its tape, oldest entry first, and the last s.

    h and keys are the entries, [batch, entries, features]; filled is 1 for an entry that was
    written and 0 for one that is still free, [batch, entries].
    """

    h: Tensor
    keys: Tensor
    filled: Tensor
    s: Tensor


@final
class MemRNN(Cell):
    """Self-attentive simple RNN.

        a_j = v . tanh(K h_j + Q s_{t-2})             for each j < t on the tape
        p   = softmax(a)
        s_{t-1} = (h_{t-1} + sum_j p_j h_j) / 2       0 of an empty tape
        h_t = f(V s_{t-1} + U x_t + b)                and y_t = h_t

    f is tanh or max(0, .). h_t and its key K h_t are then written on the tape. Attention is a
    shortcut for gradients from step t to every step before it, at O(t hidden_size) a step and
    O(T^2 hidden_size) for all of time. A tape of one entry makes it a simple RNN, since then
    s = h.

    Source: Kerg et al. 2020, "Untangling tradeoffs between recurrence and self-attention
    in neural networks", arXiv:2006.09471.
    Differs from it: a tape may be bounded; the s that asks at the second step is 0, where
    its authors' code takes U x_1 + b; modReLU is left out. Weights start as in their code:
    U, V and v as Glorot and Bengio have it, from a normal distribution, K, Q and b as those of
    torch.nn.Linear; `init="orthogonal"` makes V orthogonal.

    Parameters: H*X + H + 3*H*H + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state, of keys and queries, and of each output vector.
        nonlinearity: "tanh" or "relu".
        tape: How many of the last steps are remembered; 0 for all of them.
        init: "xavier" or "orthogonal".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        tape: int = 0,
        init: str = "xavier",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        options.whole("tape", tape, low=0)
        options.choice("init", init, ("xavier", "orthogonal"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.squash = torch.tanh if nonlinearity == "tanh" else torch.relu
        self.tape = tape
        self.grows = tape == 0
        self.input = nn.Linear(input_size, hidden_size)  # U, b
        self.recurrent = nn.Linear(hidden_size, hidden_size, bias=False)  # V
        self.scores = AdditiveScore(hidden_size)  # K, Q, v
        nn.init.xavier_normal_(self.input.weight)
        draw = nn.init.xavier_normal_ if init == "xavier" else nn.init.orthogonal_
        draw(self.recurrent.weight)

    def initial_state(self, batch: int) -> MemRNNState:
        zeros = self.recurrent.weight.new_zeros
        return MemRNNState(
            h=zeros(batch, self.tape, self.hidden_size),
            keys=zeros(batch, self.tape, self.hidden_size),
            filled=zeros(batch, self.tape),
            s=zeros(batch, self.hidden_size),
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        projected: Tensor = self.input(x)
        return projected

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], MemRNNState]:
        past, keys, filled, s = state
        p = softmax_of_filled(self.scores(keys, s), filled)
        last = past[:, -1:].sum(dim=1)  # 0 if there is none
        s = (last + read(p, past)) / 2
        h = self.squash(p_t + self.recurrent(s))
        bounded = not self.grows
        return h, MemRNNState(
            h=write(past, h, bounded=bounded),
            keys=write(keys, self.scores.key(h), bounded=bounded),
            filled=write(filled, torch.ones_like(h[:, 0]), bounded=bounded),
            s=s,
        )
