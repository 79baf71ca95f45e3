"""Tape RNN: a simple recurrent network that writes on a tape and moves it."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.truncated_linear import TruncatedLinear, truncated


class TapeRNNState(NamedTuple):
    """What TapeRNN remembers: its tapes, the cell under the head first, and h."""

    tape: Float[Tensor, "batch tapes cells width"]
    h: Float[Tensor, "batch hidden"]


@final
class TapeRNN(Cell):
    """Recurrent network with tapes, each written on and then moved by degrees.

        h_t  = f(W_x x_t + W_m [M[0] of every tape]_{t-1} + W_h h_{t-1} + b)     and y_t = h_t
        M[0] = V_3 relu(V_2 relu(V_1 h_t + c_1) + c_2) + c_3          what is written
        a    = softmax(A h_t + b_A)                                   of each tape by itself
        M[i] = a_0 M[i] + a_1 M[i+1] + a_2 M[i-1] + a_3 M[i+jump] + a_4 M[i-jump]

    with the M just written on at the right. The head stays at M[0] and the tape moves under
    it: kept, left, right, and with a `jump` above 0 that many cells left or right. It is a
    ring: what leaves it at one end comes in at the other.

    Source: Deletang et al. 2023, "Neural Networks and the Chomsky Hierarchy",
    arXiv:2207.02098.
    Differs from it: jumps are of a length that is an option, where there they are of the
    length of the input, which a cell does not know; one bias vector to h in place of two.
    All weights are drawn as haiku draws them: normal with a deviation of 1/sqrt(columns), none
    beyond two of them; biases start at 0.

    Parameters: H*(X + tapes*width + H) + H
        + mlp_layers*mlp_size*(mlp_size + 1) + (mlp_layers > 0)*mlp_size*(H - mlp_size)
        + tapes*width*((mlp_size if mlp_layers else H) + 1)
        + tapes*(3 + 2*(jump > 0))*(H + 1)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of h and of each output vector.
        tapes: How many tapes.
        cells: Cells of each tape, at least 2.
        width: Features of each cell of a tape.
        jump: How many cells a jump moves the tape, below `cells`; 0 for no jumps.
        mlp_size: Features of the layers between h and what is written.
        mlp_layers: How many of them.
        nonlinearity: f: "relu" or "tanh".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        tapes: int = 1,
        cells: int = 40,
        width: int = 8,
        jump: int = 0,
        mlp_size: int = 64,
        mlp_layers: int = 2,
        nonlinearity: str = "relu",
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("tapes", tapes, low=1)
        options.whole("cells", cells, low=2)
        options.whole("width", width, low=1)
        options.whole_up_to("jump", jump, low=0, high=cells - 1, of="cells-1")
        options.whole("mlp_size", mlp_size, low=1)
        options.whole("mlp_layers", mlp_layers, low=0)
        options.choice("nonlinearity", nonlinearity, ("relu", "tanh"))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.tapes, self.cells, self.width = tapes, cells, width
        # A roll by n puts M[i-n] at i.
        self.rolls = (-1, 1, -jump, jump) if jump else (-1, 1)
        self.moves = 1 + len(self.rolls)
        self.f = torch.relu if nonlinearity == "relu" else torch.tanh
        self.weight_x = nn.Parameter(truncated(hidden_size, input_size))
        self.weight_h = nn.Parameter(
            truncated(hidden_size, tapes * width + hidden_size)
        )  # W_m, then W_h
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        sizes = [hidden_size, *[mlp_size] * mlp_layers, tapes * width]
        self.write = nn.ModuleList(map(TruncatedLinear, sizes[:-1], sizes[1:]))  # V, c
        self.act = TruncatedLinear(hidden_size, tapes * self.moves)  # A, b_A

    def initial_state(self, batch: int) -> TapeRNNState:
        zeros = self.weight_x.new_zeros
        return TapeRNNState(
            tape=zeros(batch, self.tapes, self.cells, self.width),
            h=zeros(batch, self.hidden_size),
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], TapeRNNState]:
        tape, h = state
        seen = torch.cat([tape[:, :, 0].flatten(1), h], dim=-1)
        h = self.f(torch.addmm(p_t, seen, self.weight_h.t()))
        a = torch.softmax(self.act(h).view(-1, self.tapes, self.moves), dim=-1)
        written = self._written(h).view(-1, self.tapes, 1, self.width)
        tape = torch.cat([written, tape[:, :, 1:]], dim=2)
        return h, TapeRNNState(self._move(tape, a), h)

    def _written(
        self, h: Float[Tensor, "batch {self.hidden_size}"]
    ) -> Float[Tensor, "batch {self.tapes}*{self.width}"]:
        *between, last = self.write
        for layer in between:
            h = torch.relu(layer(h))
        written: Tensor = last(h)
        return written

    def _move(
        self,
        tape: Float[Tensor, "batch tapes cells width"],
        a: Float[Tensor, "batch tapes moves"],
    ) -> Float[Tensor, "batch tapes cells width"]:
        """Return the mean of the tape after each move, weighed by `a`."""
        kept, *rolled = a.unsqueeze(-1).unsqueeze(-1).unbind(2)
        moved = kept * tape
        for weight, roll in zip(rolled, self.rolls, strict=True):
            moved = torch.addcmul(moved, weight, torch.roll(tape, roll, dims=2))
        return moved
