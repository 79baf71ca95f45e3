"""Memory that a compiled cell writes its steps into, used again by the next sequence."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import final

import torch
from torch import Tensor

from cellbench.unroll.gradient import Place

Lane = list[Tensor]
"""A value of each step."""


@final
class Workspace:
    """All that a sequence leaves behind for its backward pass.

    Fresh memory for every sequence would be touched for the first time each time, which costs
    more than filling it. What need not last has one row, which each step writes again; a part
    of the state has two.

    Args:
        state: Like what the state is made of.
        values: Like what else a step makes.
        time: Steps.
        lasting: Places of what is wanted of every step; None for all.
    """

    def __init__(
        self,
        state: Sequence[Tensor],
        values: Sequence[Tensor],
        time: int,
        lasting: Container[Place] | None = None,
    ) -> None:
        def lasts(kind: str, n: int) -> bool:
            return lasting is None or (kind, n) in lasting

        self._state = [rows(v, time + 1 if lasts("after", n) else 2) for n, v in enumerate(state)]
        self._values = [rows(v, time if lasts("value", n) else 1) for n, v in enumerate(values)]
        self._states = [_around(v, time + 1) for v in self._state]
        self._made = [_around(v, time) for v in self._values]

    def over_time(self, place: Place) -> Tensor:
        """Return what every step left at a place, `[time, ...]`."""
        kind, n = place
        if kind == "value":
            return self._values[n]
        return self._state[n][1:] if kind == "after" else self._state[n][:-1]

    def lane(self, place: Place) -> Lane:
        """Return the same, step by step; also of what does not last."""
        kind, n = place
        if kind == "value":
            return self._made[n]
        return self._states[n][1:] if kind == "after" else self._states[n][:-1]


def rows(like: Tensor, count: int) -> Tensor:
    """Return memory for `count` tensors like `like`."""
    return torch.empty((count, *like.shape), dtype=like.dtype, device=like.device)


def _around(tensor: Tensor, count: int) -> Lane:
    return (list(tensor.unbind(0)) * -(-count // len(tensor)))[:count]
