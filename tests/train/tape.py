"""A stand-in for CUDA graphs where there is no GPU: tensor operations on a tape.

As a CUDA graph, it repeats operations on the memory on which they were recorded, and nothing of
Python; and it cannot record what the host has to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from cellbench.train.graphs import Fetched, Graphs

aten = torch.ops.aten
READS = {
    aten._local_scalar_dense.default,  # noqa: SLF001 -- its name
    aten.is_nonzero.default,
    aten.item.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten._unique2.default,  # noqa: SLF001 -- its name
}
"""Operations whose results the host has to know, or whose sizes depend on values."""


class HostReadError(Exception):
    """The host has read a value, where it may not."""


@dataclass
class Call:
    """An operation, with the very tensors that it took and made."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: list[Any]

    def again(self) -> None:
        fresh = pytree.tree_leaves(self.operation(*self.args, **self.kwargs))
        for place, value in zip(self.made or fresh, fresh, strict=True):
            if isinstance(place, Tensor) and place is not value:
                place.copy_(value)


class Tape(TorchDispatchMode):
    """Writes down what is done."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in READS:
            raise HostReadError(f"operation not permitted while recording: {func}")
        out = func(*args, **kwargs)
        if not func.is_view:
            changes = func._schema.is_mutable  # noqa: SLF001 -- there is no other way to know
            made = [] if changes else pytree.tree_leaves(out)
            self.calls.append(Call(func, args, kwargs, made))
        return out

    def again(self) -> None:
        with torch.no_grad():
            for call in self.calls:
                call.again()


@dataclass
class Later(Fetched):
    """Values that arrive after some questions whether they have."""

    values: Tensor
    questions: int
    arrived: list[Tensor]

    def ready(self) -> bool:
        self.questions -= 1
        return self.questions < 0

    def read(self) -> Tensor:
        self.arrived.append(self.values)
        return self.values


@dataclass
class TapeGraphs(Graphs):
    """Graphs on a tape.

    Attributes:
        delay: How many times numbers on their way have not arrived when they are asked for.
        most: How many can be recorded.
        tapes: What was recorded.
        replays: How many times something was repeated.
        arrived: What has come to the host.
    """

    delay: int = 0
    most: int = 100
    tapes: list[Tape] = field(default_factory=list)
    replays: int = 0
    arrived: list[Tensor] = field(default_factory=list)

    def record(self, work) -> Callable[[], None]:
        if len(self.tapes) == self.most:
            raise RuntimeError("the tape is full")
        work()
        tape = Tape()
        with tape:
            work()
        self.tapes.append(tape)

        def replay() -> None:
            self.replays += 1
            tape.again()

        return replay

    def fetch(self, values) -> Later:
        return Later(values.clone(), self.delay, self.arrived)

    def pace(self) -> None:
        pass


class NoReads(TorchDispatchMode):
    """Lets the host read nothing but what was sent to it."""

    def __init__(self, graphs: TapeGraphs) -> None:
        super().__init__()
        self._graphs = graphs

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in READS and not any(args[0] is tensor for tensor in self._graphs.arrived):
            raise HostReadError(f"the host has read a value: {func}")
        return func(*args, **(kwargs or {}))
