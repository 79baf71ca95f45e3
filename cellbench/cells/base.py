"""What a cell is."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

State: TypeAlias = tuple[Tensor, ...]
"""All that a cell remembers between two steps: a (named) tuple of `[batch, ...]` tensors."""

Projected: TypeAlias = Any
"""What `project` makes of the inputs: a tensor or a (named) tuple of `[time, batch, ...]`. Each
cell says in its own signatures which, and with what sizes. What is made of parameters alone, such
as an orthogonal matrix, goes beside it, see `constant`."""


def constant(value: Tensor, like: Tensor) -> Tensor:
    """Return `value` for every time step: a part of a projection that is made once a sequence.

    It takes no memory, and every step gets the same `value`, so that its gradient is added up
    rather than stacked.

    Args:
        value: Made of parameters only, of any shape.
        like: What has the time steps, first.
    """
    return value.unsqueeze(0).expand(like.shape[0], *value.shape)


def is_constant(part: Tensor) -> bool:
    """Tell whether a part of a projection is the same at every step, as `constant` makes it."""
    return part.shape[0] > 1 and part.stride(0) == 0


class Cell(nn.Module, abc.ABC):
    """One recurrent layer, described by what it does at a single time step.

    Constructed as `(input_size, hidden_size, **options)`; every option has a default and is
    checked (`OptionError`).

    Attributes:
        input_size: Features of each input vector.
        hidden_size: Features of each output vector.
        grows: Whether the state gets bigger with every step. Such a cell starts from an
            empty tape.
        penalised: Whether `penalty` adds something to the loss.
        has_population: Whether evaluation needs `population`.
    """

    input_size: int
    hidden_size: int
    grows: bool = False
    penalised: bool = False
    has_population: bool = False

    def weight_makers(self) -> list[nn.Parameter]:
        """Return the parameters of the parts that make weights for the rest; by default none."""
        return []

    def penalty(self, state: State) -> Float[Tensor, ""]:
        """Return what training adds to the loss of a sequence, summed over its answers; here 0.

        Asked of a cell that is `penalised`, after every training sequence.

        Args:
            state: After the last step.
        """
        del state
        return next(self.parameters()).new_zeros(())

    def population(self, x: Float[Tensor, "time batch input"]) -> dict[str, Tensor]:
        """Return what evaluation needs to know of the inputs as a whole: new values of buffers.

        Asked of a cell that `has_population`, with several batches of training inputs, before
        it is evaluated; the mean of the answers is put into the buffers. Changes nothing
        itself. A step must not gather them, since it keeps nothing on `self`.

        Args:
            x: Inputs of a training batch.
        """
        del x
        return {}

    @abc.abstractmethod
    def initial_state(self, batch: int) -> State:
        """Return the state before the first step, for `batch` sequences.

        On the device and of the dtype of the parameters; differentiable where it is learned.
        In training mode it may draw: what is random once a sequence is held by the state.
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


Carry: TypeAlias = Callable[[Cell, Tensor, State], tuple[Tensor, State]]
"""(cell, inputs of all time, state) -> (outputs of all time, last state)."""


class CompositeCell(Cell):
    """A cell made of cells, each of which can be carried over all of time by itself.

    `project` and `step` define what is right, here too; `carry` must give what they give.
    """

    @abc.abstractmethod
    def carry(
        self, x: Float[Tensor, "time *batch input"], state: State, carry: Carry
    ) -> tuple[Float[Tensor, "time *batch hidden"], State]:
        """Read all of x, with every cell that this one is made of carried by `carry`."""
