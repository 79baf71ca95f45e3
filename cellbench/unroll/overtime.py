"""What a graph of one step does, done for all steps at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from cellbench.unroll.products import differentiable_product
from cellbench.unroll.traced import is_random

aten = torch.ops.aten


class OverTime(fx.Interpreter):
    """Runs a graph of one step on values of all steps, `[time, ...]`, beside values of none.

    A product of something of every step with something of none is one product, not one a step.

    Args:
        graph: Of one step.
        varies: For each input, whether it has a time dimension.
        time: How many steps.
    """

    def __init__(self, graph: fx.GraphModule, varies: Sequence[bool], time: int) -> None:
        super().__init__(graph)
        self._time = time
        placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
        self._varies = dict(zip(placeholders, varies, strict=True))

    def varies(self, node: fx.Node) -> bool:
        """Tell whether the value of `node` has a time dimension."""
        if node not in self._varies:
            of_inputs = any(self.varies(n) for n in node.all_input_nodes)
            self._varies[node] = of_inputs or is_random(node)
        return bool(self._varies[node])

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "output":
            outputs: Any = n.args[0]
            return tuple(map(self._spread, outputs))
        if n.op != "call_function" or n.target is operator.getitem or not self.varies(n):
            return super().run_node(n)
        flags = [self.varies(m) for m in n.all_input_nodes]
        values = [self.env[m] for m in n.all_input_nodes]
        product = _PRODUCTS.get((n.target, *flags))
        if product is not None and len(n.args) == len(values) and not n.kwargs:
            return product(*values)
        return self._at_every_step(n, values, flags)

    def _spread(self, node: fx.Node) -> Tensor:
        value: Tensor = self.env[node]
        return value if self.varies(node) else value.expand(self._time, *value.shape)

    def _at_every_step(self, node: fx.Node, values: list[Tensor], flags: list[bool]) -> Any:
        places = {m: place for place, m in enumerate(node.all_input_nodes)}

        def call(_: Tensor, *given: Tensor) -> Any:
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda m: given[places[m]])
            return node.target(*args, **kwargs)  # type: ignore[operator]

        clock = torch.empty(self._time)  # a value of every step, for a node that has none
        dims = (0, *(0 if flag else None for flag in flags))
        return torch.vmap(call, in_dims=dims, randomness="different")(clock, *values)


def _mm(left: Tensor, right: Tensor) -> Tensor:
    time, rows, inner = left.shape
    found: Tensor = differentiable_product(left.reshape(time * rows, inner), right)
    return found.view(time, rows, -1)


def _addmm(added: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return added + _mm(left, right)


def _bmm(left: Tensor, right: Tensor) -> Tensor:
    time, batch, rows, inner = left.shape
    together = left.transpose(0, 1).reshape(batch, time * rows, inner)
    return torch.bmm(together, right).view(batch, time, rows, -1).transpose(0, 1)


def _baddbmm(added: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return added + _bmm(left, right)


_PRODUCTS: dict[Any, Callable[..., Tensor]] = {
    (aten.mm.default, True, False): _mm,
    (aten.addmm.default, False, True, False): _addmm,
    (aten.bmm.default, True, False): _bmm,
    (aten.baddbmm.default, False, True, False): _baddbmm,
}
"""By which arguments vary: one product for all of time, where `vmap` may make one a step."""


def over_time(
    graph: fx.GraphModule, varies: Sequence[bool], time: int, values: Sequence[Tensor]
) -> fx.GraphModule:
    """Return the graph that does `graph` for `time` steps at once, for inputs like `values`."""
    trace = make_fx(OverTime(graph, varies, time).run, tracing_mode="fake")
    traced: fx.GraphModule = trace(*(value.detach() for value in values))
    return traced
