"""How the gradient of a weight is made of what each step leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from cellbench.unroll.products import product
from cellbench.unroll.traced import is_view, needed

aten = torch.ops.aten

Total = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
"""`(kept values of all time, [time, ...] each; sums) -> a gradient`."""

_LINEAR = frozenset(
    {
        aten.clone.default,
        aten.neg.default,
        aten.sum.dim_IntList,
        aten.mul.Scalar,
        aten.mul.Tensor,
        aten.div.Scalar,
        aten.div.Tensor,
    }
)
"""Operations that are linear in their first argument where it is the only tensor."""


class Collector:
    """Finds the products in sums over time.

    Args:
        fixed: The values that are the same at every step.
        at_hand: The values of each step that are there for all time in any case.

    Attributes:
        kept: The values of each step that products over time need.
        terms: The values that are added up step by step, being no products.
    """

    def __init__(self, fixed: Iterable[fx.Node], at_hand: Iterable[fx.Node | None]) -> None:
        self.kept: list[fx.Node] = []
        self.terms: list[fx.Node] = []
        self._fixed = set(fixed)
        self._at_hand = set(at_hand)

    def total(self, node: fx.Node) -> Total:
        """Return how the sum of `node` over time is to be made."""
        if not self._has_product(node):
            return self._term(node)
        if node.target is aten.add.Tensor:
            left, right = map(self.total, node.all_input_nodes)
            return lambda kept, sums: left(kept, sums) + right(kept, sums)
        if _is_linear(node):
            return self._after(node)
        return self._product(node)

    def _has_product(self, node: fx.Node) -> bool:
        if node.target is aten.add.Tensor and len(node.all_input_nodes) == len(node.args):
            return any(map(self._has_product, node.all_input_nodes))
        if _is_linear(node):
            return self._has_product(node.all_input_nodes[0])
        return (
            node.target in _OVER_TIME
            and all(map(self._varies, node.all_input_nodes))
            and self._is_worth_keeping(node)
        )

    def _is_worth_keeping(self, node: fx.Node) -> bool:
        """Tell whether to multiply later: not if keeping takes more memory than the product does.

        On a GPU always, since there a kernel less in the chain is worth more than memory.
        """
        value: Tensor = node.meta["val"]
        operands = {_turned(n)[0] for n in node.all_input_nodes} - self._at_hand
        size = sum(n.meta["val"].numel() for n in operands)
        return value.device.type != "cpu" or size <= value.numel()

    def _varies(self, node: fx.Node) -> bool:
        return any(n.op == "placeholder" and n not in self._fixed for n in needed([node]))

    def _term(self, node: fx.Node) -> Total:
        place = _place(self.terms, node)
        return lambda _, sums: sums[place]

    def _after(self, node: fx.Node) -> Total:
        inner, target, rest = self.total(node.all_input_nodes[0]), node.target, node.args[1:]
        kwargs = node.kwargs
        return lambda kept, sums: target(inner(kept, sums), *rest, **kwargs)  # type: ignore[operator]

    def _product(self, node: fx.Node) -> Total:
        (left, turn_left), (right, turn_right) = map(_turned, node.args)
        first, second = _place(self.kept, left), _place(self.kept, right)
        multiply = _OVER_TIME[node.target]
        self._at_hand |= {left, right}

        def total(kept: Sequence[Tensor], _: Sequence[Tensor]) -> Tensor:
            a, b = kept[first], kept[second]
            return multiply(a.mT if turn_left else a, b.mT if turn_right else b)

        return total


def _is_linear(node: fx.Node) -> bool:
    one = len(node.all_input_nodes) == 1 and node.args[0] is node.all_input_nodes[0]
    return one and (node.target in _LINEAR or is_view(node))


def _turned(node: Any) -> tuple[fx.Node, bool]:
    """Return what a matrix is the transpose of, and whether it is one."""
    dims = {2: [1, 0], 3: [0, 2, 1]}[node.meta["val"].dim()]
    if node.target is aten.permute.default and list(node.args[1]) == dims:
        return node.args[0], True
    return node, False


def _place(nodes: list[fx.Node], node: fx.Node) -> int:
    if node not in nodes:
        nodes.append(node)
    return nodes.index(node)


def _mm_over_time(left: Tensor, right: Tensor) -> Tensor:
    """Return the sum over time of `left @ right`, [time, m, k] and [time, k, n]."""
    time, rows, inner = left.shape
    wide = left.transpose(0, 1).reshape(rows, time * inner)
    return product(wide, right.reshape(time * inner, -1))


def _bmm_over_time(left: Tensor, right: Tensor) -> Tensor:
    """Return the sum over time of `bmm(left, right)`, [time, b, m, k] and [time, b, k, n].

    Small results are added up; for big ones, time is made part of the inner dimension.
    """
    time, batch, rows, inner = left.shape
    columns = right.shape[-1]
    if rows * columns <= inner * (rows + columns):
        products = torch.bmm(left.flatten(0, 1), right.flatten(0, 1))
        return products.view(time, batch, rows, columns).sum(0)
    tall = left.mT.transpose(0, 1).reshape(batch, time * inner, rows)  # rows copied in one piece
    return torch.bmm(tall.mT, right.transpose(0, 1).reshape(batch, time * inner, columns))


_OVER_TIME: dict[Any, Callable[[Tensor, Tensor], Tensor]] = {
    aten.mm.default: _mm_over_time,
    aten.bmm.default: _bmm_over_time,
}
