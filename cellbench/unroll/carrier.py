"""Choosing a way through time, and going it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from cellbench.cells.base import (
    Cell,
    CompositeCell,
    ParallelCell,
    Projected,
    State,
    is_constant,
)
from cellbench.errors import OptionError
from cellbench.unroll.checkpointed import checkpointed
from cellbench.unroll.compiled import Program
from cellbench.unroll.parity import PARITY_STEPS, is_rounding, parity_error
from cellbench.unroll.stepwise import Outputs, stepwise
from cellbench.unroll.traced import CannotCompileError, first_line
from cellbench.unroll.worth import MOST_OPERATIONS, repays


class Way(enum.StrEnum):
    """How a cell is carried through time."""

    AUTO = "auto"
    STEPWISE = "stepwise"
    COMPILED = "compiled"
    PARALLEL = "parallel"


@dataclass(frozen=True, slots=True)
class Carried:
    """How a cell is carried, and what was found out on the way there.

    Attributes:
        way: STEPWISE, COMPILED or PARALLEL.
        fallback: Why not in the way that was asked for; "" if it is.
        compile_s: Seconds of tracing and compiling.
        parity_error: Of the way that was asked for, see `parity_error`; 0 for STEPWISE itself.
        parity_ok: Whether that is rounding only. If not, `way` is STEPWISE.
    """

    way: Way
    fallback: str = ""
    compile_s: float = 0.0
    parity_error: float = 0.0
    parity_ok: bool = True


@dataclass(slots=True)
class _Known:
    """What a carrier knows of one cell: how it goes, and its programs by shapes and mode."""

    way: Way | None = None
    programs: dict[Any, Program] = field(default_factory=dict)


class Carrier:
    """Carries cells through time in one way.

    Args:
        way: AUTO is PARALLEL for a cell that has such a form; for others COMPILED where `prepare`
            finds that it repays itself, and STEPWISE where not.
        checkpoint: Whether to keep only the states between stretches of sqrt(T) steps for the
            backward pass, and compute the steps in between once more: less memory, more time.
    """

    def __init__(self, way: Way = Way.AUTO, checkpoint: bool = False) -> None:  # noqa: FBT001, FBT002
        self.way = way
        self.checkpoint = checkpoint
        self._known: WeakKeyDictionary[Cell, _Known] = WeakKeyDictionary()

    def chosen(self, cell: Cell) -> Way:
        """Return the way that `cell` is carried: STEPWISE, COMPILED or PARALLEL.

        Raises:
            OptionError: PARALLEL is asked for, and the cell has no such form.
        """
        known = self._known.get(cell)
        if known is not None and known.way is not None:
            return known.way
        parallel = isinstance(cell, ParallelCell)
        if self.way is Way.PARALLEL and not parallel:
            raise OptionError(
                f"{type(cell).__name__} has no parallel form; use --unroll auto or stepwise."
            )
        if self.way is Way.AUTO:
            return Way.PARALLEL if parallel else Way.STEPWISE
        return self.way

    def prepare(
        self,
        cell: Cell,
        x: Float[Tensor, "time *batch input"],
        *,
        calls: int,
        clock: Callable[[], float] = perf_counter,
    ) -> Carried:
        """Settle how `cell` is carried over inputs like `x`, before it is trained or timed.

        Compiles where that is asked for or repays itself, and compares the way with stepwise.
        Where a way cannot be gone, or its results differ by more than rounding, `cell` is
        carried stepwise, and the reason is told.

        Args:
            x: Of the batch to come; its length does not matter.
            calls: How many times sequences like `x` are to be trained on.
            clock: Tests pass one that ticks by itself.

        Raises:
            OptionError: PARALLEL is asked for, and the cell has no such form.
        """
        if isinstance(cell, CompositeCell):
            return self._prepare_parts(cell, x, calls, clock)
        known = self._known[cell] = _Known()
        started, fallback = clock(), ""
        known.way = self.chosen(cell)
        if known.way is Way.COMPILED or (self.way is Way.AUTO and known.way is Way.STEPWISE):
            known.way, fallback = self._compiled_if_possible(cell, x, calls)
        compile_s = clock() - started
        if known.way is Way.STEPWISE and not self.checkpoint:
            return Carried(known.way, fallback, compile_s)
        error = parity_error(cell, x, self)
        ok = is_rounding(error, x.dtype)
        if not ok:
            fallback = f"{known.way} and stepwise differ by {error:.1e}"
            known.way = Way.STEPWISE
        return Carried(known.way, fallback, compile_s, error, ok)

    def _prepare_parts(
        self, cell: CompositeCell, x: Tensor, calls: int, clock: Callable[[], float]
    ) -> Carried:
        """Settle how each cell that `cell` is made of is carried over what it will see."""
        found: list[Carried] = []

        def settle(part: Cell, seen: Tensor, state: State) -> Outputs:
            found.append(self.prepare(part, seen, calls=calls, clock=clock))
            return self(part, seen, state)

        was_training = cell.training
        cell.eval()  # what is dropped at random belongs to the training to come
        try:
            with torch.no_grad():
                cell.carry(x[: max(PARITY_STEPS)], cell.initial_state(x.shape[-2]), settle)
        finally:
            cell.train(was_training)
        ways = {one.way for one in found}
        return Carried(
            way=ways.pop() if len(ways) == 1 else Way.STEPWISE,
            fallback="; ".join(dict.fromkeys(one.fallback for one in found if one.fallback)),
            compile_s=sum(one.compile_s for one in found),
            parity_error=max(one.parity_error for one in found),
            parity_ok=all(one.parity_ok for one in found),
        )

    def programs(self, cell: Cell) -> set[Program]:
        """Return what `cell` was compiled to; nothing if it was not."""
        known = self._known.get(cell)
        return set() if known is None else set(known.programs.values())

    def release(self) -> None:
        """Give back the memory that compiled cells keep for their next sequence."""
        for cell in list(self._known):
            for program in self.programs(cell):
                program.core.release()

    def __call__(
        self, cell: Cell, x: Float[Tensor, "time *batch input"], state: State | None = None
    ) -> Outputs:
        """Run `cell` over `x`.

        Args:
            cell: Any cell.
            x: Inputs; of a stack of cells, `[time, seeds, batch, input]`.
            state: What it remembers at the start; its initial state if None.
        """
        start = cell.initial_state(x.shape[-2]) if state is None else state
        if isinstance(cell, CompositeCell):
            return cell.carry(x, start, self)
        if self.checkpoint and torch.is_grad_enabled():
            return checkpointed(partial(self._carry, cell), x, start, list(cell.parameters()))
        return self._carry(cell, x, start)

    def _carry(self, cell: Cell, x: Tensor, state: State) -> Outputs:
        way, p = self.chosen(cell), cell.project(x)
        if way is Way.PARALLEL and isinstance(cell, ParallelCell):
            return cell.parallel(p, state)
        program = self._program(cell, p, state) if way is Way.COMPILED else None
        return stepwise(cell, p, state) if program is None else program(cell, p, state)

    def _compiled_if_possible(self, cell: Cell, x: Tensor, calls: int) -> tuple[Way, str]:
        """Return COMPILED if that can be done and, under AUTO, repays itself; and why not."""
        steps, device = calls * len(x), x.device.type
        if self.way is Way.AUTO and not repays(MOST_OPERATIONS, steps, device):
            return Way.STEPWISE, ""
        try:
            programs = self._traced(cell, x)
            operations = max(program.operations for program in programs.values())
            if self.way is Way.AUTO and not repays(operations, steps, device):
                return Way.STEPWISE, ""
            for program in set(programs.values()):
                program.compile()
        except CannotCompileError as error:
            return Way.STEPWISE, f"not compiled: {error}"
        except Exception as error:  # noqa: BLE001 -- a step that we do not understand still steps
            return Way.STEPWISE, f"not compiled: {first_line(error)}"
        self._known[cell].programs |= programs
        return Way.COMPILED, ""

    def _traced(self, cell: Cell, x: Tensor) -> dict[Any, Program]:
        """Return the program for each mode of `cell`; one for both if they do the same."""
        was_training, found = cell.training, dict[Any, Program]()
        try:
            for training in (True, False):
                cell.train(training)
                state, p = cell.initial_state(x.shape[-2]), cell.project(x[:2])
                program = Program(cell, p, state)
                same = next((q for q in found.values() if q.code == program.code), program)
                found[_shapes(cell, p, state)] = same
        finally:
            cell.train(was_training)
        return found

    def _program(self, cell: Cell, p: Projected, state: State) -> Program | None:
        """Return the program for these shapes and the cell's mode; None if `prepare` made none.

        Raises:
            OptionError: Nobody prepared, and the cell cannot be compiled.
        """
        known = self._known.get(cell)
        if known is not None:
            return known.programs.get(_shapes(cell, p, state))
        known = self._known[cell] = _Known(way=Way.COMPILED)
        try:
            program = known.programs[_shapes(cell, p, state)] = Program(cell, p, state)
            program.compile()
        except CannotCompileError as error:
            del self._known[cell]
            raise OptionError(
                f"{type(cell).__name__} is not compiled: {error}; use --unroll auto."
            ) from error
        return program


def _shapes(cell: Cell, p: Projected, state: State) -> tuple[Any, ...]:
    """Return all that a program depends on, but for the cell and the number of steps."""
    inputs = [(v.shape[1:], v.dtype, is_constant(v)) for v in pytree.tree_leaves(p)]
    states = [(v.shape, v.dtype) for v in pytree.tree_leaves(state)]
    return (cell.training, torch.get_num_threads(), *inputs, *states)


def unroll(cell: Cell, x: Float[Tensor, "time batch input"], state: State | None = None) -> Outputs:
    """Run `cell` over `x`, by its parallel form where it has one.

    Args:
        cell: Any cell.
        x: Inputs.
        state: What it remembers at the start; its initial state if None.
    """
    return Carrier()(cell, x, state)
