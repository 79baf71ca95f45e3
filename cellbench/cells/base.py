"""What a cell is."""

from __future__ import annotations

import abc
from typing import Any, TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

State: TypeAlias = tuple[Tensor, ...]
"""All that a cell remembers between two steps: a (named) tuple of `[batch, ...]` tensors."""

Projected: TypeAlias = Any
"""What `project` makes of the inputs: a tensor or a (named) tuple of `[time, batch, ...]`. Each
cell says in its own signatures which, and with what sizes."""


class Cell(nn.Module, abc.ABC):
    """One recurrent layer, described by what it does at a single time step.

    Constructed as `(input_size, hidden_size, **options)`; every option has a default and is
    checked (`OptionError`).

    Attributes:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
        grows: Whether the state gets bigger with every step. Such a cell starts from an
            empty tape.
    """

    input_size: int
    hidden_size: int
    grows: bool = False

    def weight_makers(self) -> list[nn.Parameter]:
        """Return the parameters of the parts that make weights for the rest; by default none."""
        return []

    @abc.abstractmethod
    def initial_state(self, batch: int) -> State:
        """Return the state before the first step, for `batch` sequences.

        On the device and of the dtype of the parameters; differentiable where it is learned.
        """

    def project(self, x: Float[Tensor, "time batch input"]) -> Projected:
        """Do all work that needs no state, for every time step at once; by default, none."""
        return x

    @abc.abstractmethod
    def step(self, p_t: Projected, state: State) -> tuple[Float[Tensor, "batch hidden"], State]:
        """Read one time slice of `project(x)`; return the output and the next state.

        Changes nothing in place, branches on no tensor's value, keeps nothing on `self`:
        so it can be compiled, captured in a CUDA graph and run under `vmap`.
        """


class ParallelCell(Cell):
    """A cell that can also read a whole sequence at once.

    `parallel` must give what repeated `step` gives; `CellContract` holds every cell to
    that, in values and gradients.
    """

    @abc.abstractmethod
    def parallel(
        self, p: Projected, state: State
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Read all of `project(x)`; return every output and the last state."""
