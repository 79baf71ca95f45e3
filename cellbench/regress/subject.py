"""The cells that one side has in hand: timing a block of calls of one, and telling what it is."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cellbench.cells.base import Cell
from cellbench.measure.environment import environment
from cellbench.measure.timing import Stopwatch, lap, stopwatch
from cellbench.plugins import parse_cell
from cellbench.regress.counting import count
from cellbench.regress.lessons import first_losses, learned
from cellbench.sweep.calls import Call, Inference, OneStep, TrainStep
from cellbench.sweep.machine import limit_memory, settle
from cellbench.unroll import Carrier, Way

if sys.platform != "win32":
    import resource

SCHEDULER = Path("/proc/thread-self/schedstat")
"""Nanoseconds that this thread ran, and that it waited for a CPU; Linux has it."""

WARM_CALLS = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """A cell, and the calls of it that are timed, by metric."""

    calls: dict[str, Call]
    way: str


class Side:
    """What one process knows.

    Args:
        order: Its first: `device`, `threads`, `sizes` (time, batch, hidden), `unroll`.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._device = torch.device(order["device"])
        limit_memory(None)  # only so that freed memory is kept
        settle(order["threads"])
        self._watch: Stopwatch = stopwatch(self._device)
        self._subjects: dict[str, Subject] = {}

    def greeting(self) -> dict[str, Any]:
        """Return the environment, and which cellbench this is."""
        import cellbench  # noqa: PLC0415 -- to tell where it is

        found = environment(self._device, "float32", self._order["threads"])
        return {
            "digest": found.digest,
            "key": found.key,
            "facts": found.facts,
            "tree": cellbench.__file__,
        }

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what `order["do"]` says."""
        do = order["do"]
        if do == "prepare":
            return self._prepare(order["cell"], order["metrics"])
        if do == "time":
            return self._time(order["cell"], order["metric"], order["calls"])
        if do == "count":
            return count(self._build(order["cell"]), self._sizes, self._device)
        given = (order["cell"], order["level"], order["seeds"], self._device)
        if do == "losses":
            return first_losses(*given, hidden=self._hidden, steps=order["steps"])
        if do == "learn":
            return learned(*given, hidden=self._hidden)
        raise ValueError(f"no order is called {do!r}")

    @property
    def _hidden(self) -> int:
        return int(self._order["sizes"]["hidden"])

    @property
    def _sizes(self) -> tuple[int, int, int]:
        sizes = self._order["sizes"]
        return sizes["time"], sizes["batch"], sizes["hidden"]

    def _build(self, cell: str) -> Cell:
        torch.manual_seed(0)  # for torch's own initialisations
        settle(self._order["threads"])  # whatever another cell did to it
        return parse_cell(cell).build(self._hidden, self._hidden)

    def _prepare(self, text: str, metrics: list[str]) -> dict[str, Any]:
        """Warm a cell up; return how it goes, and seconds of one call for each metric."""
        cell = self._build(text).to(self._device)
        time, batch, hidden = self._sizes
        x = torch.empty(time, batch, hidden, device=self._device).normal_()
        carrier = Carrier(Way(self._order["unroll"]))
        carried = carrier.prepare(cell, x, calls=1)  # few: compiling would take the gate's time
        if not carried.parity_ok:
            raise ArithmeticError(f"{carried.fallback}; a cell that is wrong is not timed")
        inference = Inference(cell, carrier, x)
        y, state = inference()
        _check_finite(y)
        every: dict[str, Call] = {
            "train_step": TrainStep(cell, carrier, x),
            "inference": inference,
            "streaming": OneStep(cell, state, 1),
        }
        calls = {metric: every[metric] for metric in metrics}
        self._subjects[text] = Subject(calls, carried.way.value)
        once_s = {}
        for metric, call in calls.items():
            call.cell.train(metric == "train_step")
            lap(call, self._watch, WARM_CALLS)
            once_s[metric] = min(lap(call, self._watch, 1).wall_s for _ in range(WARM_CALLS))
        return {"way": carried.way.value, "once_s": once_s}

    def _time(self, text: str, metric: str, calls: int) -> dict[str, Any]:
        """Time one block, after one call that brings the cell's data back near the CPU."""
        call = self._subjects[text].calls[metric]
        call.cell.train(metric == "train_step")
        call.refresh()
        call()
        gc.collect(0)
        before = _disturbances()
        block_s = lap(call, self._watch, calls).wall_s
        after = _disturbances()
        return {"s": block_s, **{name: after[name] - before[name] for name in after}}


def _check_finite(y: Tensor) -> None:
    if not bool(torch.isfinite(y).all()):
        raise ArithmeticError("an output is not finite; not timed")


def _disturbances() -> dict[str, float]:
    """Return what others had of this thread's time so far, where the system counts it."""
    found: dict[str, float] = {}
    if SCHEDULER.exists():
        found["waited_s"] = int(SCHEDULER.read_text().split()[1]) / 1e9
    if sys.platform != "win32":
        found["page_reads"] = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    return found
