"""The derivative of one step, cut into what must go backwards in time and what need not.

Going backwards, a step needs the gradient of its next state to give that of its state: a chain.
The gradient of a weight is a sum over time that no step waits for. Where a term of it is the
product of two values of each step, as it is for every linear map, the chain only keeps the two,
and one product over all of time does what T accumulations did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, fx
from torch._functorch.compile_utils import fx_graph_cse
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor.decomposition import select_decomp_table
from torch.fx.experimental.proxy_tensor import make_fx

from cellbench.unroll.collect import Collector, Total
from cellbench.unroll.traced import (
    CannotCompileError,
    changes_in_place,
    changing_nothing,
    fake_values,
    first_line,
    needed,
    results,
    writing,
)

T = TypeVar("T")

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many values of each kind a core takes: once, ahead, state."""

    once: int
    ahead: int
    state: int

    def split(self, values: Sequence[T]) -> tuple[list[T], list[T], list[T]]:
        """Return the values of each kind."""
        end = self.once + self.ahead
        return list(values[: self.once]), list(values[self.once : end]), list(values[end:])


@dataclass(frozen=True, slots=True)
class Derivative:
    """A differentiated core, in two graphs of one step that write all they make into slots.

    A place is a kind and a number in it: "once", "ahead", "state" (before the step), "after" (the
    state after it), "value" (what else the forward step makes), "cotangent" (of the next state,
    then of what is emitted), "sum", "kept".

    Attributes:
        forward: `(once, ahead, state, slots) -> ()`; the slots are those of the next state, then
            of the values.
        values: Shapes and dtypes of the values.
        emitted: The place of each emitted value.
        backward: `(takes, sums, slots) -> ()`; adds to the sums; the slots are those of the
            gradients of `state`, then of `ahead`, then of what is kept.
        takes: Places.
        state: Numbers of the parts of the state that have a gradient.
        ahead: Likewise of the ahead values.
        sums: Shapes and dtypes of the sums.
        keeps: Shapes and dtypes of what is kept.
        operands: The place of each value that a product over time needs.
        totals: For each once value, how its gradient is made of operands and sums; None if it
            has none.
    """

    forward: fx.GraphModule
    values: tuple[Tensor, ...]
    emitted: tuple[Place, ...]
    backward: fx.GraphModule
    takes: tuple[Place, ...]
    state: tuple[int, ...]
    ahead: tuple[int, ...]
    sums: tuple[Tensor, ...]
    keeps: tuple[Tensor, ...]
    operands: tuple[Place, ...]
    totals: tuple[Total | None, ...]


def differentiate(core: fx.GraphModule, sizes: Sizes, wanted: Sequence[bool]) -> Derivative:
    """Differentiate a core.

    Args:
        core: `(once, ahead, state) -> (next state, emitted)`.
        wanted: For each once and ahead value, whether its gradient is wanted.

    Raises:
        CannotCompileError: An operation has no derivative, or nothing needs one.
    """
    joint, primals, tangents, grads = _joint(core, sizes, wanted)
    ahead_end = sizes.once + sizes.ahead
    outputs = results(joint)[: len(results(core))]
    after, emitted = outputs[: sizes.state], outputs[sizes.state :]
    saved = _saved(joint, primals[: sizes.once], len(outputs))
    values = [node for node in dict.fromkeys([*emitted, *saved]) if node not in after]

    written = {"value": values, "after": after}
    given = {
        "once": primals[: sizes.once],
        "ahead": primals[sizes.once : ahead_end],
        "state": primals[ahead_end:],
    }
    places = _places(written)
    emitted_places = tuple(places[node] for node in emitted)
    places |= _places(given)
    lasting = set(places)  # there for every step when the chain is done; so are these:
    lasting |= {node for node, n in tangents.items() if n >= sizes.state}
    places |= {node: ("cotangent", n) for node, n in tangents.items()}

    collector = Collector(fixed=primals[: sizes.once], at_hand=[*lasting, *grads[sizes.once :]])
    totals = tuple(collector.total(n) if n else None for n in grads[: sizes.once])
    ahead_of = {n: node for n, node in enumerate(grads[sizes.once : ahead_end]) if node}
    state_of = {n: node for n, node in enumerate(grads[ahead_end:]) if node}
    ahead_grads = list(ahead_of.values())
    keeps = [n for n in collector.kept if n not in lasting and n not in ahead_grads]
    kept_places = {node: ("kept", n) for n, node in enumerate([*ahead_grads, *keeps])}
    grads_written = [*state_of.values(), *ahead_grads, *keeps]
    inputs = _inputs([*grads_written, *collector.terms], places)
    return Derivative(
        forward=writing(joint, primals, [*after, *values]),
        values=tuple(fake_values(values)),
        emitted=emitted_places,
        backward=writing(joint, inputs, grads_written, collector.terms),
        takes=tuple(places[node] for node in inputs),
        state=tuple(state_of),
        ahead=tuple(ahead_of),
        sums=tuple(fake_values(collector.terms)),
        keeps=tuple(fake_values(keeps)),
        operands=tuple(kept_places.get(n) or places[n] for n in collector.kept),
        totals=totals,
    )


def _places(kinds: Mapping[str, Sequence[fx.Node]]) -> dict[fx.Node, Place]:
    return {node: (kind, n) for kind, nodes in kinds.items() for n, node in enumerate(nodes)}


_KINDS = ("once", "ahead", "state", "after", "value", "cotangent")


def _inputs(returned: Sequence[fx.Node], places: Mapping[fx.Node, Place]) -> list[fx.Node]:
    """Return the values that making `returned` begins with, in the order of their kinds."""
    found = set(returned) & set(places)
    for node in needed(returned, places):
        found |= set(node.all_input_nodes) & set(places)
    return sorted(found, key=lambda node: (_KINDS.index(places[node][0]), places[node][1]))


def _joint(
    core: fx.GraphModule, sizes: Sizes, wanted: Sequence[bool]
) -> tuple[fx.GraphModule, list[fx.Node], dict[fx.Node, int], list[fx.Node | None]]:
    """Return the graph of outputs and gradients, its inputs, its cotangents and its gradients.

    The cotangents are numbered by the output that they belong to.
    """
    fakes = fake_values(node for node in core.graph.nodes if node.op == "placeholder")
    flags = [*wanted, *(True for _ in range(sizes.state))]
    with fakes[0].fake_mode:
        values = [torch.empty(v.shape, dtype=v.dtype, device=v.device) for v in fakes]
    for value, flag in zip(values, flags, strict=True):
        value.requires_grad_(flag and value.is_floating_point())
    try:
        with torch.enable_grad():
            outputs = core(*values)
            with_grad = [n for n, out in enumerate(outputs) if out.requires_grad]
            cotangents = [torch.empty_like(outputs[n]) for n in with_grad]
            trace = make_fx(_gradients(core), decomposition_table=select_decomp_table())
            joint = trace(values, cotangents)
            if changes_in_place(joint):
                joint = make_fx(_named(changing_nothing(joint)))(values, cotangents)
    except Exception as error:
        raise CannotCompileError(f"differentiating one step failed: {first_line(error)}") from error
    joint.graph = fx_graph_cse(joint.graph)
    placeholders = [node for node in joint.graph.nodes if node.op == "placeholder"]
    tangents = dict(zip(placeholders[len(values) :], with_grad, strict=True))
    graph_grads = iter(results(joint)[len(outputs) :])
    grads = [next(graph_grads) if value.requires_grad else None for value in values]
    return joint, placeholders[: len(values)], tangents, grads


def _gradients(core: fx.GraphModule) -> Callable[[list[Tensor], list[Tensor]], list[Any]]:
    def joint(primals: list[Tensor], tangents: list[Tensor]) -> list[Any]:
        outputs = core(*primals)
        roots = [out for out in outputs if out.requires_grad]
        leaves = [value for value in primals if value.requires_grad]
        grads = torch.autograd.grad(roots, leaves, tangents, allow_unused=True)
        return [*outputs, *grads]

    return joint


def _named(joint: Callable[..., list[Any]]) -> Callable[[list[Tensor], list[Tensor]], list[Any]]:
    """Return it with the names of its inputs, by which torch tells them apart, see `_saved`."""

    def named(primals: list[Tensor], tangents: list[Tensor]) -> list[Any]:
        return joint(primals, tangents)

    return named


def _saved(joint: fx.GraphModule, once: Sequence[fx.Node], outputs: int) -> list[fx.Node]:
    """Return the values of the forward step that are kept for the backward one.

    By the cut of least memory that torch uses for its own compiled functions; what is made of
    once values alone is made again.
    """
    copied = fx.Graph()
    copied.output(copied.graph_copy(joint.graph, {}))
    forward, _ = min_cut_rematerialization_partition(
        fx.GraphModule(joint, copied), None, num_fwd_outputs=outputs
    )
    by_name = {node.name: node for node in joint.graph.nodes}
    found = [by_name[node.name] for node in results(forward)[outputs:]]
    placeholders = {node for node in joint.graph.nodes if node.op == "placeholder"}
    changing = placeholders - set(once)
    return [node for node in found if node not in placeholders and set(needed([node])) & changing]
