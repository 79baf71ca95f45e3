"""Cells of several seeds as one cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import Cell, ParallelCell, Projected, State
from cellbench.train.stacked_module import StackedModule


class StackedCell(Cell):
    """S cells that are carried through time at once, each as it would be alone.

    It is a cell with one more axis: inputs `[time, seeds, batch, input]`, states
    `[seeds, batch, ...]`, outputs of a step `[seeds, batch, hidden]`.

    Args:
        cells: At least one, made with the same settings.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        super().__init__()
        self.input_size = cells[0].input_size
        self.hidden_size = cells[0].hidden_size
        self.grows = cells[0].grows
        self.penalised = cells[0].penalised
        self.has_population = cells[0].has_population
        self.stack = StackedModule(cells)

    def penalty(self, state: State) -> Float[Tensor, "seeds"]:
        """Return that of each cell."""
        found: Tensor = self.stack.call("penalty", state, in_dims=(0,))
        return found

    def population(self, x: Float[Tensor, "time seeds batch input"]) -> dict[str, Tensor]:
        """Return the new values of the stack's buffers."""
        found: dict[str, Tensor] = self.stack.call("population", x, in_dims=(1,))
        return {f"stack.{self.stack.name_of(name)}": value for name, value in found.items()}

    def initial_state(self, batch: int) -> State:
        state: State = self.stack.call("initial_state", batch, in_dims=(None,))
        return state

    def project(self, x: Float[Tensor, "time seeds batch {self.input_size}"]) -> Projected:
        return self.stack.call("project", x, in_dims=(1,), out_dims=1)

    def step(
        self, p_t: Projected, state: State
    ) -> tuple[Float[Tensor, "seeds batch {self.hidden_size}"], State]:
        found: tuple[Tensor, State] = self.stack.call("step", p_t, state, in_dims=(0, 0))
        return found


@final
class StackedParallelCell(StackedCell, ParallelCell):
    """S cells whose parallel form runs under `vmap` too."""

    def parallel(
        self, p: Projected, state: State
    ) -> tuple[Float[Tensor, "time seeds batch {self.hidden_size}"], State]:
        found: tuple[Tensor, State] = self.stack.call(
            "parallel", p, state, in_dims=(1, 0), out_dims=(1, 0)
        )
        return found
