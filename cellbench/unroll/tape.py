"""What Inductor's code for a step does, written down once and done again without it.

Around its kernels, the code that Inductor generates for a CPU allocates, slices and unpacks, which
for a small cell takes longer than the kernels do. In a workspace every step reads and writes the
same memory each time, so the kernels can be called again with the arguments they had, as a CUDA
graph does it on a GPU: in C where that is possible, see `player`.
"""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor

from cellbench.unroll.player import KernelCall, NotPlayableError, player_of

Call = Callable[[], object]

_REPEATABLE = re.compile(
    r"""
    (?:  \w[\w,\ ]*=\ args                              # unpacking
      |  args\.clear\(\)
      |  \w+\ =\ (?:empty_strided_cpu|reinterpret_tensor)\(.*
      |  \w+\ =\ \w+;\ del\ \w+.*
      |  del\ \w+
      |  cpp_fused\w*\(.*\)
      |  extern_kernels\.\w+\(.*,\ out=.*\)
      |  return\ \(\)
      |  \#.*
    )?""",
    re.VERBOSE,
)
"""A statement that does the same again if its arguments lie where they lay before."""

_recording = threading.Lock()


class Recordable:
    """A compiled step whose kernel calls can be written down.

    Args:
        call: Of the generated module: takes a list of tensors, and empties it.
    """

    def __init__(self, call: Callable[[list[Tensor]], object]) -> None:
        self._call = call
        self._names = getattr(call, "__func__", call).__globals__

    def __call__(self, values: list[Tensor]) -> object:
        return self._call(values)

    def record(self, rows: Iterable[Iterable[Tensor]], fixed: Sequence[Tensor]) -> Call:
        """Run the step on each row; return what does all of that once more.

        The rows' memory must then still be there, and mean the same.

        Args:
            rows: Of each step.
            fixed: What no step writes to.
        """
        calls: list[KernelCall] = []
        memory = Memory(self._names["empty_strided_cpu"])
        with _recording, _replaced(self._names, calls, memory):
            for row in rows:
                memory.from_the_start()
                self._call(list(row))
        try:
            return player_of(calls, fixed)
        except NotPlayableError:
            return partial(_play, calls)


def _play(calls: Iterable[KernelCall]) -> None:
    for call in calls:
        call()


def recordable(compiled: Any) -> Recordable | None:
    """Return the step that Inductor compiled as one that can be recorded; None if it cannot be.

    It can be if each statement of the generated code is known to be repeatable.
    """
    call = getattr(compiled, "current_callable", None)
    try:
        lines = inspect.getsource(call).splitlines()[1:]  # type: ignore[arg-type]
    except (OSError, TypeError):
        return None
    is_known = all(_REPEATABLE.fullmatch(line.strip()) for line in lines)
    return Recordable(call) if is_known and call is not None else None


class Memory:
    """Allocates for one step, and gives the next the same memory again."""

    def __init__(self, allocate: Callable[..., Tensor]) -> None:
        self._allocate = allocate
        self._given: list[Tensor] = []
        self._next = 0

    def from_the_start(self) -> None:
        self._next = 0

    def __call__(self, *arguments: Any) -> Tensor:
        if self._next == len(self._given):
            self._given.append(self._allocate(*arguments))
        self._next += 1
        return self._given[self._next - 1]


class _Kernels:
    """Stands in for the library of products: calls it, and notes the call."""

    def __init__(self, kernels: Any, calls: list[KernelCall]) -> None:
        self._kernels = kernels
        self._calls = calls

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _noted(getattr(self._kernels, name), self._calls, name)


def _noted(
    kernel: Callable[..., object], calls: list[KernelCall], name: str = ""
) -> Callable[..., None]:
    def note(*arguments: Any, **options: Any) -> None:
        calls.append(KernelCall(name, kernel, arguments, options))
        calls[-1]()

    return note


@contextmanager
def _replaced(names: dict[str, Any], calls: list[KernelCall], memory: Memory) -> Iterator[None]:
    """Let the generated module note what it calls."""
    kernels = {n: _noted(f, calls) for n, f in names.items() if n.startswith("cpp_fused")}
    library = {"extern_kernels": _Kernels(names["extern_kernels"], calls)}
    stand_ins = {**kernels, **library, "empty_strided_cpu": memory}
    before = {name: names[name] for name in stand_ins}
    names.update(stand_ins)
    try:
        yield
    finally:
        names.update(before)
