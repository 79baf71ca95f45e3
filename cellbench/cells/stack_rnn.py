"""Stack RNN: a simple recurrent network that pushes on and pops from stacks."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State

NONLINEARITIES = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


class StackRNNState(NamedTuple):
    """What StackRNN remembers: its stacks, top first, and h, of no features if not `recurrent`."""

    stack: Float[Tensor, "batch stacks depth width"]
    h: Float[Tensor, "batch features"]


@final
class StackRNN(Cell):
    """Recurrent network with stacks, each pushed on and popped from by degrees.

        h_t  = f(U x_t + P [top cells of every stack]_{t-1} + R h_{t-1} + b)     and y_t = h_t
        push, pop, keep = softmax(A h_t + b_A)            of each stack by itself
        v    = sigmoid(D h_t + b_D)                       what a push would push
        S[0] = push * v      + pop * S[1]   + keep * S[0]
        S[i] = push * S[i-1] + pop * S[i+1] + keep * S[i]

    with the old S on the right. An empty stack holds `empty` everywhere, and so does what a
    pop brings in at the bottom. A stack is `depth` cells deep, for the state must not grow:
    what is pushed off its bottom is lost. Without `recurrent` R is 0 and the stacks are all
    that is remembered; without `noop` keep is 0.

    Source: Joulin & Mikolov 2015, "Inferring Algorithmic Patterns with Stack-Augmented
    Recurrent Nets", arXiv:1503.01007.
    Differs from it: biases, which its one-hot inputs make up for (`bias=False` for none);
    cells of several features, other f and a v that is not squashed, as options: `width=8,
    top=1, empty=0, squash=False, nonlinearity="relu"` is the Stack-RNN of Deletang et al. 2023,
    arXiv:2207.02098, but for its softmax, which is one over the actions of all stacks. Errors
    are not clipped on their way back.

    Parameters: H*(X + stacks*top*width + recurrent*H) + stacks*(2 + noop + width)*H
        + bias*(H + stacks*(2 + noop + width))

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of h and of each output vector.
        stacks: How many stacks.
        width: Features of each cell of a stack.
        depth: Cells of each stack, at least 2.
        top: How many cells of each stack h is told of.
        noop: Whether a stack may also be kept as it is.
        recurrent: Whether h is told of the last h.
        empty: What an empty stack holds.
        squash: Whether what is pushed goes through a sigmoid.
        nonlinearity: f: "sigmoid", "tanh" or "relu".
        bias: Whether there are biases; they start at 0.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        stacks: int = 4,
        width: int = 1,
        depth: int = 32,
        top: int = 2,
        noop: bool = True,
        recurrent: bool = True,
        empty: float = -1.0,
        squash: bool = True,
        nonlinearity: str = "sigmoid",
        bias: bool = True,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("stacks", stacks, low=1)
        options.whole("width", width, low=1)
        options.whole("depth", depth, low=2)
        options.whole_up_to("top", top, low=1, high=depth, of="depth")
        options.flag("noop", noop)
        options.flag("recurrent", recurrent)
        options.real("empty", empty, low=-1e6)
        options.flag("squash", squash)
        options.choice("nonlinearity", nonlinearity, tuple(NONLINEARITIES))
        options.flag("bias", bias)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.stacks, self.width, self.depth, self.top = stacks, width, depth, top
        self.recurrent = recurrent
        self.actions = 3 if noop else 2
        self.empty = empty
        self.squash = squash
        self.f = NONLINEARITIES[nonlinearity]
        seen = stacks * top * width + recurrent * hidden_size
        heads = stacks * (self.actions + width)
        self.weight_x = nn.Parameter(_published(hidden_size, input_size))  # U
        self.weight_s = nn.Parameter(_published(hidden_size, seen))  # P, then R
        self.weight_heads = nn.Parameter(_published(heads, hidden_size))  # A, then D
        self.bias = nn.Parameter(torch.zeros(hidden_size)) if bias else None
        self.bias_heads = nn.Parameter(torch.zeros(heads)) if bias else None

    def initial_state(self, batch: int) -> StackRNNState:
        new = self.weight_x.new_full
        return StackRNNState(
            stack=new((batch, self.stacks, self.depth, self.width), self.empty),
            h=new((batch, self.hidden_size if self.recurrent else 0), 0.0),
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch {self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch {self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], StackRNNState]:
        stack, h = state
        seen = torch.cat([stack[:, :, : self.top].flatten(1), h], dim=-1)
        h = self.f(torch.addmm(p_t, seen, self.weight_s.t()))
        heads = functional.linear(h, self.weight_heads, self.bias_heads)
        a, v = torch.split(heads, [self.stacks * self.actions, self.stacks * self.width], dim=-1)
        a = torch.softmax(a.view(-1, self.stacks, self.actions), dim=-1)
        if self.squash:
            v = torch.sigmoid(v)
        stack = self._act(stack, a, v.view(-1, self.stacks, 1, self.width))
        return h, StackRNNState(stack, h if self.recurrent else h[:, :0])

    def _act(
        self,
        stack: Float[Tensor, "batch stacks depth width"],
        a: Float[Tensor, "batch stacks actions"],
        v: Float[Tensor, "batch stacks 1 width"],
    ) -> Float[Tensor, "batch stacks depth width"]:
        """Return the stacks pushed on, popped from and kept, each as far as its action has it."""
        push, pop, *keep = a.unsqueeze(-1).unsqueeze(-1).unbind(2)
        pushed = torch.cat([v, stack[:, :, :-1]], dim=2)
        popped = torch.cat([stack[:, :, 1:], torch.full_like(v, self.empty)], dim=2)
        acted = push * pushed + pop * popped
        return acted + keep[0] * stack if keep else acted


def _published(rows: int, columns: int) -> Float[Tensor, "rows columns"]:
    """Draw weights as the authors' code does: sums of three of U(-0.1, 0.1)."""
    return torch.empty(3, rows, columns).uniform_(-0.1, 0.1).sum(0)
