"""One step of a cell as a flat graph of tensor operations, cut by what each of them needs.

    once    needs parameters only, or what `project`
            made of them for every step                done once a sequence
    ahead   needs inputs, and not the state            done for all of time at once, but on a
                                                       CPU a matrix product
    core    needs the state, and makes the next one    done step by step
    after   needs the state, and only the output       done for all of time at once, if it is
            needs it                                   a matrix product

So on a GPU a cell written without `project`, such as `torch.nn.LSTMCell`, has its input product
taken out of the loop, and a weight that is made of parameters is made once, whoever wrote the cell.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from cellbench.cells.base import Cell, Projected, State, is_constant
from cellbench.unroll.stepwise import slices


class CannotCompileError(Exception):
    """Why a step cannot be compiled, in one line."""


class Part(enum.IntEnum):
    """When an operation can be done."""

    ONCE = 0
    AHEAD = 1
    CORE = 2


PRODUCTS = frozenset(
    {
        torch.ops.aten.mm.default,
        torch.ops.aten.addmm.default,
        torch.ops.aten.bmm.default,
        torch.ops.aten.baddbmm.default,
        torch.ops.aten.convolution.default,
    }
)


@dataclass(frozen=True, slots=True)
class Cut:
    """A step, in parts.

    Values that cross from part to part are numbered in the order in which they are listed here.

    Attributes:
        once: `(parameters, constant inputs) -> values`.
        ahead: `(inputs of one step, once values) -> values`.
        core: `(once values, ahead values, state) -> (next state, emitted)`.
        after: `(once values, ahead values, emitted) -> (y,)`; None if `emitted` is `(y,)`.
    """

    once: fx.GraphModule
    ahead: fx.GraphModule
    core: fx.GraphModule
    after: fx.GraphModule | None


@dataclass(frozen=True, slots=True)
class Weights:
    """Parameters and buffers of a cell, flat, and by name."""

    names: tuple[str, ...]
    values: tuple[Tensor, ...]

    @classmethod
    def of(cls, cell: Cell) -> Weights:
        """Return those of `cell`, as they are now."""
        named = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
        return cls(tuple(named), tuple(named.values()))


class _Stepper(nn.Module):
    """Calls `step`, so that the parameters of a cell can be put in its place for one call."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, p_t: Projected, state: State) -> tuple[Tensor, State]:
        return self.cell.step(p_t, state)


def trace_step(cell: Cell, p: Projected, state: State) -> Cut:
    """Trace one step of `cell` and cut it.

    Args:
        cell: Any cell whose state does not grow.
        p: `cell.project(x)`; only its shapes matter.
        state: Before the first step; likewise.

    Raises:
        CannotCompileError: The step branches on values, its state changes its shape, or it
            draws random numbers that depend on the state.
    """
    if cell.grows:
        raise CannotCompileError("its state grows with every step")
    weights = Weights.of(cell)
    inputs, inputs_spec = pytree.tree_flatten(slices(p)[0])
    constants, varying = kinds_of(p)
    states, state_spec = pytree.tree_flatten(state)
    n_weights, n_inputs = len(weights.values), len(inputs)
    stepper = _Stepper(cell)

    def flat(*values: Tensor) -> tuple[Tensor, ...]:
        here = {f"cell.{n}": v for n, v in zip(weights.names, values[:n_weights], strict=True)}
        given = dict(zip([*constants, *varying], values[n_weights:], strict=False))
        p_t = pytree.tree_unflatten([given[n] for n in range(n_inputs)], inputs_spec)
        before = pytree.tree_unflatten(list(values[n_weights + n_inputs :]), state_spec)
        y, after = torch.func.functional_call(stepper, here, (p_t, before))
        return (*pytree.tree_leaves(after), y)

    ordered = [inputs[n] for n in (*constants, *varying)]
    graph = _trace(flat, [*weights.values, *ordered, *states])
    _check_state(graph, states)
    return _cut(graph, n_weights + len(constants), len(varying))


def kinds_of(p: Projected) -> tuple[list[int], list[int]]:
    """Return which parts of a projection are the same at every step, and which are not."""
    leaves = pytree.tree_leaves(p)
    constants = [n for n, leaf in enumerate(leaves) if is_constant(leaf)]
    return constants, [n for n in range(len(leaves)) if n not in constants]


def _trace(function: Any, values: Sequence[Tensor]) -> fx.GraphModule:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        fakes = [torch.empty(v.shape, dtype=v.dtype, device=v.device) for v in values]
    try:
        graph = make_fx(function)(*fakes)
        if changes_in_place(graph):
            graph = make_fx(changing_nothing(graph))(*fakes)
    except Exception as error:
        raise CannotCompileError(f"tracing one step failed: {first_line(error)}") from error
    graph.graph.eliminate_dead_code()
    return graph


def changes_in_place(graph: fx.GraphModule) -> bool:
    """Tell whether any operation changes a value: then that is not what one node makes."""
    return any(_changes_in_place(node) for node in graph.graph.nodes)


def changing_nothing(graph: fx.GraphModule) -> Callable[..., Any]:
    """Return what does the same, to be traced once more, and changes nothing in place.

    Of the graph, not of the function: what is one operation there may be several here.
    """
    return torch.func.functionalize(graph, remove="mutations")


def first_line(error: BaseException) -> str:
    """Return the type of `error` and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:200]


def _changes_in_place(node: fx.Node) -> bool:
    target = node.target
    return isinstance(target, OpOverload) and target._schema.is_mutable  # noqa: SLF001 -- no other way to ask


def _check_state(graph: fx.GraphModule, states: Sequence[Tensor]) -> None:
    after = [node.meta["val"] for node in results(graph)[:-1]]
    before = [(tuple(v.shape), v.dtype) for v in states]
    if [(tuple(v.shape), v.dtype) for v in after] != before:
        raise CannotCompileError("its state changes its shape or dtype from step to step")
    if any(v.is_complex() for v in after):
        raise CannotCompileError("its state is complex, which Inductor does not compile")


def results(graph: fx.GraphModule) -> list[Any]:
    """Return the nodes that a graph returns, in order; None for a gradient that there is not."""
    return list(graph.graph.output_node().args[0])  # type: ignore[arg-type]


def is_view(node: fx.Node) -> bool:
    """Tell whether a node costs nothing: it looks at its first argument in another way."""
    if node.target is operator.getitem:
        return is_view(node.args[0])  # type: ignore[arg-type]
    return isinstance(node.target, OpOverload) and node.target.is_view


def is_random(node: fx.Node) -> bool:
    """Tell whether a node draws random numbers."""
    target = node.target
    tag = torch.Tag.nondeterministic_seeded
    return isinstance(target, OpOverload) and tag in target.tags


def _parts(graph: fx.GraphModule, n_weights: int, n_inputs: int) -> dict[fx.Node, Part]:
    parts: dict[fx.Node, Part] = {}
    for place, node in enumerate(graph.graph.nodes):
        if node.op == "placeholder":
            if place < n_weights:
                parts[node] = Part.ONCE
            else:
                parts[node] = Part.AHEAD if place < n_weights + n_inputs else Part.CORE
            continue
        parts[node] = max((parts[n] for n in node.all_input_nodes), default=Part.ONCE)
        if is_random(node):
            if parts[node] is Part.CORE:
                raise CannotCompileError("it draws random numbers of its state's shape in a step")
            parts[node] = Part.AHEAD  # anew at every step
        if parts[node] is Part.AHEAD and is_quicker_in_the_loop(node):
            parts[node] = Part.CORE
    return parts


def is_quicker_in_the_loop(node: fx.Node) -> bool:
    """Tell whether a product of inputs is better done step by step.

    On a CPU the small product is as quick as the big one, see `player`, and its result is used
    where it lies in the cache, in place of being written for all of time, and read again.
    """
    return node.target in PRODUCTS and node.meta["val"].device.type == "cpu"


def _cut(graph: fx.GraphModule, n_weights: int, n_inputs: int) -> Cut:
    parts = _parts(graph, n_weights, n_inputs)
    *next_state, y = results(graph)
    emitted, tail = _emitted(parts, next_state, y)
    core_nodes = [n for n in needed([*next_state, *emitted]) if parts[n] is Part.CORE]
    crossing = _crossing([*core_nodes, *tail], [*next_state, *emitted], parts)
    once = [n for n in crossing if parts[n] is Part.ONCE]
    ahead = [n for n in crossing if parts[n] is Part.AHEAD]
    placeholders = [n for n in graph.graph.nodes if n.op == "placeholder"]
    weights, inputs = placeholders[:n_weights], placeholders[n_weights : n_weights + n_inputs]
    once_for_ahead = _crossing([n for n in needed(ahead) if parts[n] is Part.AHEAD], [], parts)
    once += [n for n in once_for_ahead if parts[n] is Part.ONCE and n not in once]
    states = placeholders[n_weights + n_inputs :]
    return Cut(
        once=extract(graph, weights, once),
        ahead=extract(graph, [*inputs, *once], ahead),
        core=extract(graph, [*once, *ahead, *states], [*next_state, *emitted]),
        after=extract(graph, [*once, *ahead, *emitted], [y]) if tail else None,
    )


def _emitted(
    parts: dict[fx.Node, Part], next_state: list[fx.Node], y: fx.Node
) -> tuple[list[fx.Node], list[fx.Node]]:
    """Return what the core hands out at each step, and the nodes that make y of it later."""
    core = {*needed(next_state), *(node for node in parts if node.op == "placeholder")}
    for node in parts:  # an item of what the core makes: a list cannot be handed out
        if node.target is operator.getitem and node.all_input_nodes[0] in core:
            core.add(node)
    tail = [n for n in needed([y]) if n not in core and parts[n] is Part.CORE]
    if not any(node.target in PRODUCTS for node in tail):
        return [y], []
    inputs = (n for node in tail for n in node.all_input_nodes)
    return list(dict.fromkeys(n for n in inputs if n in core and parts[n] is Part.CORE)), tail


def _crossing(
    nodes: Iterable[fx.Node], direct: Iterable[fx.Node], parts: dict[fx.Node, Part]
) -> list[fx.Node]:
    """Return the values of other parts that `nodes` need; views are looked through."""
    found: dict[fx.Node, None] = {}
    nodes = list(nodes)
    inside = set(nodes)

    def look(node: fx.Node) -> None:
        if node in inside:
            return
        if node.op != "placeholder" and is_view(node) and parts[node] is not Part.CORE:
            for source in node.all_input_nodes:
                look(source)
        else:
            found[node] = None

    for node in nodes:
        for source in node.all_input_nodes:
            look(source)
    for node in direct:
        look(node)
    return list(found)


def needed(nodes: Iterable[fx.Node], given: Iterable[fx.Node] = ()) -> list[fx.Node]:
    """Return `nodes` and all that they are made of, `given` excepted, in the order of the graph."""
    stop, found = set(given), set[fx.Node]()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found and node not in stop:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    graph = next(iter(found)).graph if found else None
    return [node for node in graph.nodes if node in found] if graph else []


def extract(
    graph: fx.GraphModule, inputs: Sequence[fx.Node], outputs: Sequence[fx.Node | None]
) -> fx.GraphModule:
    """Return the graph that makes `outputs` of `inputs`; both are nodes of `graph`."""
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for place, node in enumerate(inputs):
        copies[node] = part.placeholder(f"value_{place}")
        copies[node].meta = dict(node.meta)
    made = [node for node in outputs if node is not None]
    for node in needed(made, inputs):
        copies[node] = part.node_copy(node, lambda n: copies[n])
    part.output(tuple(None if node is None else copies[node] for node in outputs))
    return fx.GraphModule(graph, part)


def writing(
    graph: fx.GraphModule,
    inputs: Sequence[fx.Node],
    written: Sequence[fx.Node],
    added: Sequence[fx.Node] = (),
) -> fx.GraphModule:
    """Return the graph `(inputs, sums, slots) -> ()` that writes values, and adds to sums.

    Args:
        graph: What `inputs`, `written` and `added` are nodes of.
        inputs: What is given.
        written: What is put into the slots.
        added: What is added to the sums.
    """
    part = extract(graph, inputs, [*added, *written])
    made = results(part)
    output = part.graph.output_node()
    copy, add = torch.ops.aten.copy_.default, torch.ops.aten.add.Tensor
    first = next((n for n in part.graph.nodes if n.op != "placeholder"), output)
    with part.graph.inserting_before(first):
        slots = [part.graph.placeholder(f"slot_{n}") for n in range(len(made))]
    with part.graph.inserting_before(output):
        for place, (slot, node) in enumerate(zip(slots, made, strict=True)):
            slot.meta["val"] = node.meta["val"]
            is_sum = place < len(added)
            new = part.graph.call_function(add, (slot, node)) if is_sum else node
            part.graph.call_function(copy, (slot, new))
    output.args = ((),)
    part.recompile()
    return part


def fake_values(nodes: Iterable[fx.Node]) -> list[FakeTensor]:
    """Return what tracing knows of the values of `nodes`: shape, dtype, device."""
    return [node.meta["val"] for node in nodes]
