"""A sequence read from both ends, for levels that ask once all is read."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench.cells.base import Carry, CompositeCell, Projected, State
from cellbench.train.layers import MakeCell


class BothProjected(NamedTuple):
    """What the two cells make of the inputs, each in the order in which it reads them."""

    ahead: Projected
    back: Projected


@final
class BothWays(CompositeCell):
    """Two cells: one reads a sequence of T steps from its start, the other from its end.

        f_t = ahead(x_1 ... x_t)
        b_t = back(x_T ... x_{T+1-t})
        y_t = [f_t; b_t]

    So y_T has read everything twice, and is what a level that asks at its last step is answered
    from. It is no cell of the contract: before the last step it has seen what is to come, and
    `project` must be given a sequence whole.

    Source: Schuster & Paliwal 1997, "Bidirectional Recurrent Neural Networks", IEEE
    Transactions on Signal Processing 45(11).
    Differs from it: it joins what the two have read after equally many steps, not what they
    give at the same place.

    Args:
        make_cell: Makes each of the two.
        input_size: Features of each input vector.
        hidden_size: Asked of each.
    """

    def __init__(self, make_cell: MakeCell, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.ahead = make_cell(input_size, hidden_size)
        self.back = make_cell(input_size, hidden_size)
        self.hidden_size = 2 * self.ahead.hidden_size
        self.grows = self.ahead.grows
        self.penalised = self.ahead.penalised
        self.has_population = self.ahead.has_population
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            start = self.ahead.initial_state(1)
        self._kind = getattr(type(start), "_make", tuple)

    def weight_makers(self) -> list[nn.Parameter]:
        """Return those of both."""
        return [*self.ahead.weight_makers(), *self.back.weight_makers()]

    def penalty(self, state: State) -> Float[Tensor, ""]:
        """Return the sum of both."""
        first, second = self._apart(state)
        return self.ahead.penalty(first) + self.back.penalty(second)

    def population(self, x: Float[Tensor, "time batch input"]) -> dict[str, Tensor]:
        """Ask each in the order in which it reads."""
        both = {"ahead": self.ahead.population(x), "back": self.back.population(x.flip(0))}
        return {f"{way}.{name}": v for way, found in both.items() for name, v in found.items()}

    def initial_state(self, batch: int) -> State:
        return (*self.ahead.initial_state(batch), *self.back.initial_state(batch))

    def project(self, x: Float[Tensor, "time batch {self.input_size}"]) -> BothProjected:
        return BothProjected(self.ahead.project(x), self.back.project(x.flip(0)))

    def step(
        self, p_t: BothProjected, state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], State]:
        first, second = self._apart(state)
        f, first = self.ahead.step(p_t.ahead, first)
        b, second = self.back.step(p_t.back, second)
        return torch.cat([f, b], dim=-1), (*first, *second)

    def carry(
        self, x: Float[Tensor, "time *batch {self.input_size}"], state: State, carry: Carry
    ) -> tuple[Float[Tensor, "time *batch {self.hidden_size}"], State]:
        first, second = self._apart(state)
        f, first = carry(self.ahead, x, first)
        b, second = carry(self.back, x.flip(0), second)
        return torch.cat([f, b], dim=-1), (*first, *second)

    def _apart(self, state: State) -> tuple[State, State]:
        parts = len(state) // 2
        return self._kind(state[:parts]), self._kind(state[parts:])
