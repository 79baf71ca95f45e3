"""Compiled steps run over a whole sequence, as one operation of autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cellbench.unroll.gradient import Derivative, Place, Sizes
from cellbench.unroll.workspace import Lane, Workspace, rows

Step = Callable[[list[Tensor]], object]
"""A compiled graph of one step; it writes into slots, and empties the list that it is given."""


class Lease:
    """The use of a workspace; it goes back when nothing refers to the lease any more."""

    def __init__(self, space: Workspace, free: list[Workspace]) -> None:
        self.space = space
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.space)


class Core:
    """Compiled steps, forward and backward, and the workspaces that they write into.

    Args:
        sizes: How many values of each kind a step takes.
        derivative: What the steps do.
        state: Like what the state is made of.
        steps: The two graphs of `derivative`, compiled.
    """

    def __init__(
        self,
        sizes: Sizes,
        derivative: Derivative,
        state: Sequence[Tensor],
        steps: tuple[Step, Step],
    ) -> None:
        self.sizes = sizes
        self.derivative = derivative
        self.forward_step, self.backward_step = steps
        self._state = list(state)
        device = state[0].device
        self._values = [_like(v, device) for v in derivative.values]
        self.free_workspaces: dict[tuple[int, bool], list[Workspace]] = {}

    def __call__(self, time: int, values: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Run over `time` steps.

        Args:
            values: Once values; ahead values, `[time, ...]`; the state before the first step.

        Returns:
            The state after the last step, and what was emitted, `[time, ...]`.
        """
        found = _Recurrence.apply(self, time, torch.is_grad_enabled(), *values)  # type: ignore[no-untyped-call]
        return list(found[: self.sizes.state]), list(found[self.sizes.state :])

    def release(self) -> None:
        """Give back the memory of the workspaces that no sequence is using."""
        self.free_workspaces.clear()

    def lease(self, time: int, *, keep: bool) -> Lease:
        """Return a workspace that is nobody else's until the lease is dropped."""
        free = self.free_workspaces.setdefault((time, keep), [])
        if free:
            return Lease(free.pop(), free)
        lasting = None if keep else set(self.derivative.emitted)
        return Lease(Workspace(self._state, self._values, time, lasting), free)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, core: Core, time: int, keep: bool, *values: Tensor) -> tuple[Tensor, ...]:  # noqa: FBT001 -- autograd passes no keywords
        lease = core.lease(time, keep=keep)
        last = _run_forward(core, time, values, lease.space)
        emitted = [lease.space.over_time(place).clone() for place in core.derivative.emitted]
        if keep:
            ctx.core, ctx.time, ctx.lease = core, time, lease
            ctx.save_for_backward(*values)
        ctx.mark_non_differentiable(*(v for v in last if not v.is_floating_point()))
        return (*last, *emitted)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        grads = _run_backward(ctx.core, ctx.time, ctx.saved_tensors, ctx.lease.space, cotangents)
        return None, None, None, *grads


def _run_forward(core: Core, time: int, values: Sequence[Tensor], space: Workspace) -> list[Tensor]:
    once, ahead, state = core.sizes.split(values)
    before = [space.lane(("state", n)) for n in range(len(state))]
    after = [space.lane(("after", n)) for n in range(len(state))]
    made = [space.lane(("value", n)) for n in range(len(core.derivative.values))]
    for lane, value in zip(before, state, strict=True):
        lane[0].copy_(value)
    lanes = [*(v.unbind(0) for v in ahead), *before, *after, *made]
    step = core.forward_step
    for row in zip(*lanes, strict=True):
        step([*once, *row])
    return [lane[time - 1].clone() for lane in after]


def _run_backward(
    core: Core,
    time: int,
    values: Sequence[Tensor],
    space: Workspace,
    cotangents: Sequence[Tensor],
) -> list[Tensor | None]:
    """Return the gradients of `values`."""
    back = _Back(core, time, values, space, cotangents)
    step = core.backward_step
    for row in reversed(list(zip(*back.lanes(), strict=True))):
        step(list(row))
    return back.gradients()


class _Back:
    """Memory for a backward pass: what each step takes and writes, and what comes of it all."""

    def __init__(
        self,
        core: Core,
        time: int,
        values: Sequence[Tensor],
        space: Workspace,
        cotangents: Sequence[Tensor],
    ) -> None:
        self._derivative = derivative = core.derivative
        self._time, self._space, self._n_state = time, space, core.sizes.state
        self._once, self._ahead, state = core.sizes.split(values)
        self._cotangents = [g.contiguous() for g in cotangents]
        device = state[0].device
        self._sums = [rows(_like(v, device), 1)[0].zero_() for v in derivative.sums]
        self._ahead_grads = [torch.empty_like(self._ahead[n]) for n in derivative.ahead]
        self._kept = self._ahead_grads + [rows(_like(v, device), time) for v in derivative.keeps]
        self._chain = {n: rows(state[n], 2) for n in derivative.state}
        for n, pair in self._chain.items():  # of two, each step reads one and writes the other
            pair[time % 2].copy_(self._cotangents[n])

    def lanes(self) -> list[Lane]:
        """Return the arguments of the compiled step, a lane each."""
        derivative, time = self._derivative, self._time
        takes = [self._lane(place) for place in derivative.takes]
        sums = [[v] * time for v in self._sums]
        chain = [self._alternating(n, 0) for n in derivative.state]
        return [*takes, *sums, *chain, *(list(v.unbind(0)) for v in self._kept)]

    def gradients(self) -> list[Tensor | None]:
        """Return the gradients of once values, ahead values and the first state."""
        derivative = self._derivative
        operands = [self._over_time(place) for place in derivative.operands]
        once = [total and total(operands, self._sums) for total in derivative.totals]
        ahead = dict(zip(derivative.ahead, self._ahead_grads, strict=True))
        first = {n: pair[0].clone() for n, pair in self._chain.items()}
        return [
            *once,
            *(ahead.get(n) for n in range(len(self._ahead))),
            *(first.get(n) for n in range(self._n_state)),
        ]

    def _lane(self, place: Place) -> Lane:
        kind, n = place
        if kind == "once":
            return [self._once[n]] * self._time
        if kind in {"state", "after", "value"}:
            return self._space.lane(place)
        if kind == "cotangent" and n < self._n_state:
            return self._alternating(n, 1) if n in self._chain else self._only_last(n)
        return list(self._over_time(place).unbind(0))

    def _over_time(self, place: Place) -> Tensor:
        kind, n = place
        tensors = {"ahead": self._ahead, "kept": self._kept, "cotangent": self._cotangents}
        return tensors[kind][n] if kind in tensors else self._space.over_time(place)

    def _alternating(self, n: int, first: int) -> Lane:
        pair = self._chain[n].unbind(0)
        return [pair[(t + first) % 2] for t in range(self._time)]

    def _only_last(self, n: int) -> Lane:
        """Return the lane of a part of the state that steps write and do not read."""
        last = self._cotangents[n]
        return [torch.zeros_like(last)] * (self._time - 1) + [last]


def _like(fake: Tensor, device: torch.device) -> Tensor:
    """Return what has the shape and dtype of `fake`, contiguous, and no memory."""
    return torch.empty((), dtype=fake.dtype, device=device).expand(fake.shape)
