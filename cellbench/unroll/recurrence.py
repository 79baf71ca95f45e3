"""Compiled steps run over a whole sequence, as one operation of autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from cellbench.unroll.gradient import Derivative, Place, Sizes
from cellbench.unroll.tape import Call, Recordable
from cellbench.unroll.workspace import Lane, Workspace, rows

Step = Callable[[list[Tensor]], object]
"""A compiled graph of one step; it writes into slots, and empties the list that it is given."""

Row: TypeAlias = tuple[Tensor, ...]
"""Its arguments."""


class Core:
    """Compiled steps, forward and backward, and the memory that they work in.

    Args:
        sizes: How many values of each kind a step takes.
        derivative: What the steps do.
        steps: The two graphs of `derivative`, compiled.
    """

    def __init__(self, sizes: Sizes, derivative: Derivative, steps: tuple[Step, Step]) -> None:
        self.sizes = sizes
        self.derivative = derivative
        self.forward_step, self.backward_step = steps
        self.free: dict[tuple[int, bool], list[_Pass]] = {}

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
        """Give back the memory that no sequence is using."""
        self.free.clear()

    def lease(self, time: int, values: Sequence[Tensor], *, keep: bool) -> Lease:
        """Return memory for a sequence that is nobody else's until the lease is dropped."""
        free = self.free.setdefault((time, keep), [])
        return Lease(free.pop() if free else _Pass(self, time, values, keep=keep), free)


class Lease:
    """The use of memory; it goes back when nothing refers to the lease any more."""

    def __init__(self, memory: _Pass, free: list[_Pass]) -> None:
        self.memory = memory
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.memory)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, core: Core, time: int, keep: bool, *values: Tensor) -> tuple[Tensor, ...]:  # noqa: FBT001 -- autograd passes no keywords
        ctx.lease = core.lease(time, values, keep=keep)
        outputs = ctx.lease.memory.forward(values)
        ctx.mark_non_differentiable(*(v for v in outputs if not v.is_floating_point()))
        return tuple(outputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *ctx.lease.memory.backward(cotangents)


class _Pass:
    """The memory of one sequence on its way forward and back, and the calls that fill it.

    All that steps read and write stays where it is from one sequence to the next: what is given
    is copied in, and what is returned is copied out.
    """

    def __init__(self, core: Core, time: int, values: Sequence[Tensor], *, keep: bool) -> None:
        self._core, self._time = core, time
        self.once, self.ahead, state = map(_places_like, core.sizes.split(values))
        made = [_like(v, state[0].device) for v in core.derivative.values]
        lasting = None if keep else set(core.derivative.emitted)
        self.space = Workspace(state, made, time, lasting)
        self.before = [self.space.lane(("state", n)) for n in range(len(state))]
        self._after = [self.space.lane(("after", n)) for n in range(len(state))]
        self._made = [self.space.lane(("value", n)) for n in range(len(made))]
        self._again: Call | None = None
        self._back: _Back | None = None

    def forward(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the state after the last step, and what was emitted."""
        first = [lane[0] for lane in self.before]
        torch._foreach_copy_([*self.once, *self.ahead, *first], list(values))
        if self._again is None:
            self._again = _run(self._core.forward_step, self._rows(), self.once)
        else:
            self._again()
        emitted = map(self.space.over_time, self._core.derivative.emitted)
        return [lane[self._time - 1].clone() for lane in self._after] + [v.clone() for v in emitted]

    def backward(self, cotangents: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the gradients of what `forward` was given."""
        if self._back is None:
            self._back = _Back(self._core, self._time, self)
        return self._back(cotangents)

    def _rows(self) -> Iterable[Row]:
        ahead = (v.unbind(0) for v in self.ahead)
        row = zip(*ahead, *self.before, *self._after, *self._made, strict=True)
        return ((*self.once, *values) for values in row)


class _Back:
    """The memory of the way back: what each step takes and writes, and what comes of it all."""

    def __init__(self, core: Core, time: int, there: _Pass) -> None:
        self._derivative = derivative = core.derivative
        self._step, self._time, self._there = core.backward_step, time, there
        state = [lane[0] for lane in there.before]
        device = state[0].device
        self._n_state = len(state)
        last = _places_like(state)
        emitted = _places_like([there.space.over_time(place) for place in derivative.emitted])
        self._cotangents = [*last, *emitted]
        self._sums = _places_like([_like(v, device) for v in derivative.sums])
        self._ahead_grads = _places_like([there.ahead[n] for n in derivative.ahead])
        self._kept = self._ahead_grads + [rows(_like(v, device), time) for v in derivative.keeps]
        self._chain = {n: rows(state[n], 2) for n in derivative.state}
        self._again: Call | None = None

    def __call__(self, cotangents: Sequence[Tensor]) -> list[Tensor | None]:
        torch._foreach_copy_(self._cotangents, list(cotangents))
        for total in self._sums:
            total.zero_()
        for n, pair in self._chain.items():  # of the two, each step reads one and writes the other
            pair[self._time % 2].copy_(self._cotangents[n])
        if self._again is None:
            steps = reversed(list(zip(*self._lanes(), strict=True)))
            self._again = _run(self._step, steps, self._there.once)
        else:
            self._again()
        return self._gradients()

    def _gradients(self) -> list[Tensor | None]:
        """Return the gradients of once values, ahead values and the first state."""
        derivative, there = self._derivative, self._there
        operands = [self._over_time(place) for place in derivative.operands]
        sums = [total.clone() for total in self._sums]
        once = [total and total(operands, sums) for total in derivative.totals]
        pairs = zip(derivative.ahead, self._ahead_grads, strict=True)
        ahead = {n: grad.clone() for n, grad in pairs}
        first = {n: pair[0].clone() for n, pair in self._chain.items()}
        ahead_grads = [ahead.get(n) for n in range(len(there.ahead))]
        return [*once, *ahead_grads, *(first.get(n) for n in range(self._n_state))]

    def _lanes(self) -> list[Lane]:
        """Return the arguments of the compiled step, a lane each."""
        derivative = self._derivative
        takes = [self._lane(place) for place in derivative.takes]
        sums = [[total] * self._time for total in self._sums]
        chain = [self._alternating(n, 0) for n in derivative.state]
        return [*takes, *sums, *chain, *(list(v.unbind(0)) for v in self._kept)]

    def _lane(self, place: Place) -> Lane:
        kind, n = place
        if kind == "once":
            return [self._there.once[n]] * self._time
        if kind in {"state", "after", "value"}:
            return self._there.space.lane(place)
        if kind == "cotangent" and n < self._n_state:
            return self._alternating(n, 1) if n in self._chain else self._only_last(n)
        return list(self._over_time(place).unbind(0))

    def _over_time(self, place: Place) -> Tensor:
        kind, n = place
        tensors = {"ahead": self._there.ahead, "kept": self._kept, "cotangent": self._cotangents}
        return tensors[kind][n] if kind in tensors else self._there.space.over_time(place)

    def _alternating(self, n: int, first: int) -> Lane:
        pair = self._chain[n].unbind(0)
        return [pair[(t + first) % 2] for t in range(self._time)]

    def _only_last(self, n: int) -> Lane:
        """Return the lane of a part of the state that steps write and do not read."""
        last = self._cotangents[n]
        return [torch.zeros_like(last)] * (self._time - 1) + [last]


def _run(step: Step, sequence: Iterable[Row], fixed: Sequence[Tensor]) -> Call:
    """Run `step` on each row; return what does so again."""
    if isinstance(step, Recordable):
        return step.record(sequence, fixed)
    kept = list(sequence)

    def again() -> None:
        for row in kept:
            step(list(row))

    again()
    return again


def _places_like(values: Iterable[Tensor]) -> list[Tensor]:
    """Return memory for tensors like these, contiguous."""
    return [torch.empty(v.shape, dtype=v.dtype, device=v.device) for v in values]


def _like(fake: Tensor, device: torch.device) -> Tensor:
    """Return what has the shape and dtype of `fake`, and no memory."""
    return torch.empty((), dtype=fake.dtype, device=device).expand(fake.shape)
