"""What can be counted of a cell: the same in every run, so that any difference is a change."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from cellbench.cells.base import Cell, ParallelCell
from cellbench.measure.memory import measure_memory, tensor_bytes
from cellbench.measure.operations import count_operations
from cellbench.sweep.calls import OneStep, TrainStep
from cellbench.unroll import Carrier, Way, slices, stepwise
from cellbench.unroll.compiled import Program
from cellbench.unroll.traced import CannotCompileError, first_line

LEAK_CALLS = 8
"""Calls between two counts of what is still held."""

LEAK_LOOKS = 3
"""Counts in a row that must all have grown: a cache that fills once is no leak."""

FEWEST_OBJECTS = 8
"""Objects a call below which none is told of: interpreter and torch keep a few of their own, not
the same number in each run. A leak in each step of a sequence is many more."""

OUTPUT_SIZES = (6, 2)
"""Steps and sequences of the outputs that are compared."""


def count(cell: Cell, sizes: tuple[int, int, int], device: torch.device) -> dict[str, Any]:
    """Return the exact metrics of a fresh `cell` of `sizes` (time, batch, hidden).

    A metric that cannot be counted is left out, and its reason stands among the texts.
    """
    outputs = _outputs(cell)  # first: in float64, before anything could have touched the cell
    cell = cell.to(device=device, dtype=torch.float32)
    time, batch, hidden = sizes
    x = torch.empty(time, batch, hidden, device=device).normal_()
    values: dict[str, float] = {"parameters": sum(p.numel() for p in cell.parameters())}
    texts: dict[str, str] = {}
    counters: dict[str, Callable[[], Mapping[str, float]]] = {
        "operations": lambda: _operations(cell, x),
        "memory": lambda: _memory(cell, x, device),
        "leaks": lambda: _leaks(cell, x),
        "graph": lambda: _graph(cell, x),
    }
    for name, counter in counters.items():
        try:
            values |= counter()
        except Exception as error:  # noqa: BLE001 -- a cell that cannot be counted so is told of
            texts[name] = f"not counted: {type(error).__name__}: {first_line(error)}"
    texts["compiles"] = _compiles(cell, x)
    texts["way"] = "parallel" if isinstance(cell, ParallelCell) else "stepwise"
    return {"values": values, "texts": texts, "outputs": outputs}


def _outputs(cell: Cell) -> list[float]:
    """Return outputs and gradients on fixed inputs, in float64: what the cell computes."""
    double = cell.to(dtype=torch.float64).eval()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*OUTPUT_SIZES, cell.input_size, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    y, _ = Carrier()(double, x)
    weights = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    asked = [x, *(p for p in double.parameters() if p.requires_grad)]
    gradients = torch.autograd.grad(y, asked, weights, allow_unused=True)
    norms = [0.0 if g is None else float(g.norm()) for g in gradients]
    double.train()
    found = [*y.detach().flatten().tolist(), *norms]
    if not all(map(math.isfinite, found)):
        raise ArithmeticError("an output or a gradient on plain inputs is not finite")
    return found


def _operations(cell: Cell, x: Tensor) -> dict[str, float]:
    step = TrainStep(cell, Carrier(Way.STEPWISE), x)
    with _KernelCounter() as kernels:
        step()
    read = x[:, :1].clone()
    with torch.no_grad():
        operations = count_operations(
            lambda: stepwise(cell, cell.project(read), cell.initial_state(1))
        )
    return {"operations": operations, "kernels": kernels.count}


@final
class _KernelCounter(TorchDispatchMode):
    """Counts what is asked of torch's kernels, views included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def _memory(cell: Cell, x: Tensor, device: torch.device) -> dict[str, float]:
    carrier = Carrier()
    step = TrainStep(cell, carrier, x)
    step()
    held = tensor_bytes([*cell.parameters(), step.x])
    found = measure_memory(step, carrier.release, held_bytes=held, static_bytes=held, device=device)
    with torch.no_grad():
        _, state = carrier(cell, x[:, :1])
    return {
        "peak_allocated_bytes": float(found.peak_allocated_bytes or 0),
        "state_bytes": float(sum(s.numel() * s.element_size() for s in pytree.tree_leaves(state))),
    }


def _leaks(cell: Cell, x: Tensor) -> dict[str, float]:
    """Return bytes of tensors, and objects of Python, that stay after a call; for each call."""
    carrier = Carrier()
    train = TrainStep(cell, carrier, x)
    with torch.no_grad():
        _, state = carrier(cell, x)
    one = OneStep(cell, state, 1)

    def calls() -> None:
        for _ in range(LEAK_CALLS):
            train()
            one()

    kept_bytes = _kept_on_cuda if x.is_cuda else _kept_on_cpu
    calls()
    leaked_bytes = min(kept_bytes(calls) for _ in range(LEAK_LOOKS)) // LEAK_CALLS
    objects = min(_objects_kept(calls) for _ in range(LEAK_LOOKS)) // LEAK_CALLS
    return {
        "leaked_bytes": max(0, leaked_bytes),
        "leaked_objects": objects if objects >= FEWEST_OBJECTS else 0,
    }


def _objects_kept(calls: Callable[[], None]) -> int:
    gc.collect()
    before = sys.getallocatedblocks()
    calls()
    gc.collect()
    return sys.getallocatedblocks() - before


def _kept_on_cuda(calls: Callable[[], None]) -> int:
    before = torch.cuda.memory_allocated()
    calls()
    gc.collect()
    return torch.cuda.memory_allocated() - before


def _kept_on_cpu(calls: Callable[[], None]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        calls()
        gc.collect()
    events = profiled.profiler.kineto_results.events()
    return int(sum(event.nbytes() for event in events if event.name() == "[memory]"))


def _graph(cell: Cell, x: Tensor) -> dict[str, float]:
    """Return what stands in the way of one graph of a step."""
    from torch._dynamo import explain, reset  # noqa: PLC0415 -- takes seconds

    reset()
    with torch.no_grad():
        (p_t,) = slices(cell.project(x[:1]))
        found = explain(cell.step)(p_t, cell.initial_state(x.shape[1]))
    reset()
    return {"graphs": found.graph_count, "graph_breaks": len(found.break_reasons)}


def _compiles(cell: Cell, x: Tensor) -> str:
    """Say whether a step can be traced, or why not."""
    try:
        Program(cell, cell.project(x[:2]), cell.initial_state(x.shape[1]))
    except CannotCompileError as error:
        return f"no: {error}"
    except Exception as error:  # noqa: BLE001 -- a step that we do not understand still steps
        return f"no: {first_line(error)}"
    return "yes"
