"""A cell compiled: one step forward, one step backward, and everything else for all time at once.

Never the whole sequence: the time to compile does not grow with its length, and one program runs
any number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from cellbench.cells.base import Cell, Projected, State
from cellbench.unroll.gradient import Derivative, Sizes, differentiate
from cellbench.unroll.overtime import over_time
from cellbench.unroll.recurrence import Core, Step
from cellbench.unroll.stepwise import Outputs
from cellbench.unroll.tape import recordable
from cellbench.unroll.traced import (
    CannotCompileError,
    Weights,
    fake_values,
    first_line,
    is_view,
    kinds_of,
    trace_step,
)

Compiler = Callable[[fx.GraphModule], Step]


class Program:
    """A cell traced for one shape of its inputs and state, and then compiled; any number of steps.

    Compiled code is kept on disk by Inductor, so that the next run finds it.

    Args:
        cell: The cell, in training or evaluation mode: the program stays in that mode.
        p: `cell.project(x)`.
        state: Before the first step.

    Raises:
        CannotCompileError: And why.
    """

    def __init__(self, cell: Cell, p: Projected, state: State) -> None:
        self.cut = trace_step(cell, p, state)
        self._kinds = kinds_of(p)  # of one step alone it could not be told
        self._state_spec = pytree.tree_structure(state)
        self._at_once: dict[tuple[fx.GraphModule, int], fx.GraphModule] = {}
        with torch.enable_grad():
            once, ahead, states = self._values(cell, p, state)
        self._sizes = Sizes(len(once), len(ahead), len(states))
        self._wanted = [v.requires_grad for v in once] + [v.is_floating_point() for v in ahead]

    @property
    def code(self) -> str:
        """All that it does, as text."""
        graphs = (self.cut.once, self.cut.ahead, self.cut.core, self.cut.after)
        return "\n".join(graph.code for graph in graphs if graph is not None)

    @property
    def operations(self) -> int:
        """Operations of one step, views not counted."""
        nodes = self.cut.core.graph.nodes
        return sum(node.op == "call_function" and not is_view(node) for node in nodes)

    def compile(self, compiler: Compiler | None = None) -> None:
        """Differentiate and compile; once, and before it is called.

        Args:
            compiler: Of a graph of one step; Inductor if None.

        Raises:
            CannotCompileError: And why.
        """
        derivative = differentiate(self.cut.core, self._sizes, self._wanted)
        steps = _compile(derivative, compiler or inductor)
        self.core = Core(self._sizes, derivative, steps)

    def __call__(self, cell: Cell, p: Projected, state: State) -> Outputs:
        """Run `cell` over `p`, of the shapes that this was compiled for, but for its length."""
        once, ahead, states = self._values(cell, p, state)
        time = len(pytree.tree_leaves(p)[0])
        after, emitted = self.core(time, [*once, *ahead, *states])
        (y,) = (
            emitted
            if self.cut.after is None
            else self._for_all_time(
                self.cut.after,
                [False] * len(once) + [True] * (len(ahead) + len(emitted)),
                time,
                [*once, *ahead, *emitted],
            )
        )
        return y, pytree.tree_unflatten(after, self._state_spec)

    def _values(
        self, cell: Cell, p: Projected, state: State
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return what steps take: once values, ahead values of all time, the first state."""
        leaves = pytree.tree_leaves(p)
        constants, varying = ([leaves[n] for n in kind] for kind in self._kinds)
        once = self.cut.once(*Weights.of(cell).values, *(leaf[0] for leaf in constants))
        varies = [True] * len(varying) + [False] * len(once)
        ahead = self._for_all_time(self.cut.ahead, varies, len(leaves[0]), [*varying, *once])
        return list(once), list(ahead), pytree.tree_leaves(state)

    def _for_all_time(
        self, graph: fx.GraphModule, varies: Sequence[bool], time: int, values: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        if all(node.op in {"placeholder", "output"} for node in graph.graph.nodes):
            return graph(*values)  # type: ignore[no-any-return]
        key = (graph, time)
        if key not in self._at_once:
            self._at_once[key] = over_time(graph, varies, time, values)
        return self._at_once[key](*values)  # type: ignore[no-any-return]


def _compile(derivative: Derivative, compiler: Compiler) -> tuple[Step, Step]:
    try:
        return compiler(derivative.forward), compiler(derivative.backward)
    except Exception as error:
        raise CannotCompileError(f"Inductor failed: {first_line(error)}") from error


def inductor(graph: fx.GraphModule) -> Step:
    """Compile a graph of one step; the same graph, once in a process."""
    key = _key(graph)
    if key not in _compiled:
        _compiled[key] = _inductor(graph)
    return _compiled[key]


_compiled: dict[Any, Step] = {}


def _key(graph: fx.GraphModule) -> Any:
    """Return all that the code for a graph depends on."""
    if any(node.op == "get_attr" for node in graph.graph.nodes):
        return graph  # its values are not in its code: like no other
    values = fake_values(node for node in graph.graph.nodes if node.op == "placeholder")
    kinds = tuple((tuple(v.shape), v.dtype, v.device) for v in values)
    return graph.code, kinds, torch.get_num_threads()


def _inductor(graph: fx.GraphModule) -> Step:
    from torch._inductor import config  # noqa: PLC0415 -- seconds of import
    from torch._inductor.compile_fx import compile_fx_inner  # noqa: PLC0415

    fakes = fake_values(node for node in graph.graph.nodes if node.op == "placeholder")
    with torch.no_grad(), config.patch(size_asserts=False):  # slots are ours: always contiguous
        with fakes[0].fake_mode:
            examples = [torch.empty(v.shape, dtype=v.dtype, device=v.device) for v in fakes]
        compiled: Any = compile_fx_inner(graph, examples)
    return recordable(compiled) or compiled
