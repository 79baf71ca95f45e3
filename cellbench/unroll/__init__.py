"""Carrying a cell through time.

`stepwise` is the definition of right. Every other way must give what it gives.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cellbench.cells.base import Cell, ParallelCell, Projected, State
from cellbench.errors import OptionError
from cellbench.unroll.checkpointed import checkpointed

Outputs = tuple[Float[Tensor, "time batch hidden"], State]


class Way(enum.StrEnum):
    """How a cell is carried through time."""

    AUTO = "auto"
    STEPWISE = "stepwise"
    PARALLEL = "parallel"


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carries cells through time in one way.

    Attributes:
        way: AUTO is PARALLEL for a cell that has such a form, and STEPWISE for others.
        checkpoint: Whether to keep only the states between stretches of sqrt(T) steps for the
            backward pass, and compute the steps in between once more: less memory, more time.
    """

    way: Way = Way.AUTO
    checkpoint: bool = False

    def chosen(self, cell: Cell) -> Way:
        """Return the way that `cell` is carried: STEPWISE or PARALLEL.

        Raises:
            OptionError: PARALLEL is asked for, and the cell has no such form.
        """
        parallel = isinstance(cell, ParallelCell)
        if self.way is Way.PARALLEL and not parallel:
            raise OptionError(
                f"{type(cell).__name__} has no parallel form; use --unroll auto or stepwise."
            )
        return Way.PARALLEL if parallel and self.way is not Way.STEPWISE else Way.STEPWISE

    def __call__(
        self, cell: Cell, x: Float[Tensor, "time batch input"], state: State | None = None
    ) -> Outputs:
        """Run `cell` over `x`.

        Args:
            cell: Any cell.
            x: Inputs.
            state: What it remembers at the start; its initial state if None.
        """
        start = cell.initial_state(x.shape[1]) if state is None else state
        if self.checkpoint and torch.is_grad_enabled():
            return checkpointed(partial(self._carry, cell), x, start)
        return self._carry(cell, x, start)

    def _carry(self, cell: Cell, x: Float[Tensor, "time batch input"], state: State) -> Outputs:
        p = cell.project(x)
        if isinstance(cell, ParallelCell) and self.chosen(cell) is Way.PARALLEL:
            return cell.parallel(p, state)
        return stepwise(cell, p, state)


def unroll(cell: Cell, x: Float[Tensor, "time batch input"], state: State | None = None) -> Outputs:
    """Run `cell` over `x`, by its parallel form where it has one.

    Args:
        cell: Any cell.
        x: Inputs.
        state: What it remembers at the start; its initial state if None.
    """
    return Carrier()(cell, x, state)


def stepwise(cell: Cell, p: Projected, state: State) -> Outputs:
    """Run `cell` over `p = cell.project(x)` a step at a time: the definition of right.

    A tuple from `project` reaches `step` as the same kind of (named) tuple.
    """
    outputs = []
    for p_t in slices(p):
        y, state = cell.step(p_t, state)
        outputs.append(y)
    return torch.stack(outputs), state


def slices(p: Projected) -> list[Projected]:
    """Return the time slices of a projection, first step first."""
    if isinstance(p, Tensor):
        return list(p.unbind(0))
    make = getattr(type(p), "_make", type(p))  # a named tuple takes its fields one by one
    return [make(parts) for parts in zip(*(tensor.unbind(0) for tensor in p), strict=True)]
