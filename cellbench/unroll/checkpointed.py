"""Memory that grows with the square root of time, for very long sequences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from cellbench.cells.base import State

Carry = Callable[[Tensor, State], tuple[Tensor, State]]
"""Inputs of a stretch of time and the state before it -> outputs, and the state after it."""


def checkpointed(
    carry: Carry,
    x: Float[Tensor, "time *batch input"],
    state: State,
    parameters: Sequence[Tensor],
) -> tuple[Float[Tensor, "time *batch hidden"], State]:
    """Do `carry` in stretches of sqrt(T) steps, and keep nothing of what is inside of one.

    The backward pass does a stretch once more when it gets there. What is kept is the inputs,
    the outputs and the states between stretches; of everything else, one stretch.

    Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
    Differs from it: in nothing.

    Args:
        carry: Pure, but for random numbers, which are drawn again alike.
        x: Inputs.
        state: Before the first step.
        parameters: All else that `carry` differentiates with respect to.
    """
    stretch = math.isqrt(len(x) - 1) + 1 if len(x) else 1
    outputs = []
    leaves, spec = pytree.tree_flatten(state)
    for part in torch.split(x, stretch):
        y, *leaves = _Stretch.apply(carry, spec, part, len(leaves), *leaves, *parameters)  # type: ignore[no-untyped-call]
        outputs.append(y)
    return torch.cat(outputs), pytree.tree_unflatten(leaves, spec)


class _Stretch(torch.autograd.Function):
    """A stretch whose inside is thrown away; torch's own checkpoint keeps what a compiled cell
    remembers by itself."""  # noqa: D209, D205 -- one sentence, too long for a line

    @staticmethod
    def forward(
        ctx: Any, carry: Carry, spec: Any, x: Tensor, n_state: int, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.carry, ctx.spec, ctx.n_state = carry, spec, n_state
        ctx.random = _random_state(x.device)
        ctx.save_for_backward(x, *rest)
        y, state = carry(x, pytree.tree_unflatten(list(rest[:n_state]), spec))
        return (y, *pytree.tree_leaves(state))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        x, *rest = ctx.saved_tensors
        given = [
            v.detach().requires_grad_(v.is_floating_point()) for v in (x, *rest[: ctx.n_state])
        ]
        leaves = [v for v in (*given, *rest[ctx.n_state :]) if v.requires_grad]
        with torch.enable_grad(), _random_again(ctx.random, x.device):
            y, state = ctx.carry(given[0], pytree.tree_unflatten(given[1:], ctx.spec))
        made = [(y, cotangents[0]), *zip(pytree.tree_leaves(state), cotangents[1:], strict=True)]
        made = [(value, grad) for value, grad in made if value.requires_grad]
        values, grads = zip(*made, strict=True)
        found = iter(torch.autograd.grad(values, leaves, grads, allow_unused=True))
        every = (*given, *rest[ctx.n_state :])
        d_x, *d_rest = [next(found) if value.requires_grad else None for value in every]
        return None, None, d_x, None, *d_rest


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


class _random_again(AbstractContextManager[None]):  # noqa: N801 -- used as a function
    """Draw the random numbers that followed a state, and go on from today's afterwards."""

    def __init__(self, state: Tensor, device: torch.device) -> None:
        self._state, self._device = state, device

    def __enter__(self) -> None:
        self._today = _random_state(self._device)
        self._set(self._state)

    def __exit__(self, *_: object) -> None:
        self._set(self._today)

    def _set(self, state: Tensor) -> None:
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state, self._device)
        else:
            torch.set_rng_state(state)
