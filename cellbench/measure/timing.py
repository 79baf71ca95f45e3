"""Timing blocks of calls: the clock is an argument, units are in names, nothing is trimmed."""

from __future__ import annotations

import abc
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import final

import torch

from cellbench.record import Timings

NOISY = 0.10
"""Relative interquartile range above which timings carry a warning."""

BLOCK_S = 0.05
"""Wanted length of a block: reading the clock costs less than 0.1 % of it, and what the system
does now and then is spread over all blocks."""

FEWEST_BLOCKS = 5
MOST_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class Lap:
    """One reading: wall seconds, and seconds on the device where it has a clock of its own."""

    wall_s: float
    device_s: float | None = None


class Stopwatch(abc.ABC):
    """Times work on a device. Tests pass one that ticks by itself."""

    @abc.abstractmethod
    def start(self) -> None:
        """Begin, once all work queued before is done."""

    @abc.abstractmethod
    def stop(self) -> Lap:
        """Wait until the work queued since `start` is done, and tell how long it took."""


@final
class WallStopwatch(Stopwatch):
    """For work that is done when the call returns."""

    def __init__(self) -> None:
        self._start = 0.0

    def start(self) -> None:
        self._start = perf_counter()

    def stop(self) -> Lap:
        return Lap(perf_counter() - self._start)


@final
class CudaStopwatch(Stopwatch):
    """For work that is queued: wall time to the last kernel's end, and time between events.

    The events are recorded on the stream current at `start`, where the work must run; the
    wall time ends with a synchronisation of the whole device, so work hidden on another
    stream still shows there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's
        self._start = 0.0

    def start(self) -> None:
        torch.cuda.synchronize(self._device)
        self._start = perf_counter()
        self._begin.record(torch.cuda.current_stream(self._device))

    def stop(self) -> Lap:
        self._end.record(torch.cuda.current_stream(self._device))
        torch.cuda.synchronize(self._device)
        wall_s = perf_counter() - self._start
        return Lap(wall_s, self._begin.elapsed_time(self._end) / 1000)  # milliseconds


def stopwatch(device: torch.device) -> Stopwatch:
    """Return the stopwatch to time work on `device` with."""
    return CudaStopwatch(device) if device.type == "cuda" else WallStopwatch()


def time_blocks(
    call: Callable[[], object],
    watch: Stopwatch,
    *,
    batch: int,
    time: int,
    warmup: int = 3,
    budget_s: float = 1.0,
    refresh: Callable[[], None] | None = None,
) -> Timings:
    """Call `call` untimed until it is warm, then in timed blocks.

    A block is as many calls as take about `BLOCK_S`; there are 5 to 20 blocks, as many as
    fit into the budget.

    Args:
        call: The work; its result is dropped.
        watch: See `stopwatch`.
        batch: Sequences a call.
        time: Steps of each sequence a call.
        warmup: Untimed calls, the first of which is reported apart.
        budget_s: Seconds the timed blocks should take.
        refresh: Makes new inputs; called before each timed block, and in no time of it.
    """
    first = lap(call, watch, 1)
    once_s = min(lap(call, watch, 1).wall_s for _ in range(max(1, warmup - 1)))
    inner = max(1, math.ceil(BLOCK_S / max(once_s, 1e-9)))
    blocks = round(budget_s / max(inner * once_s, 1e-9))
    laps = []
    for _ in range(min(max(blocks, FEWEST_BLOCKS), MOST_BLOCKS)):
        if refresh is not None:
            refresh()
        laps.append(lap(call, watch, inner))
    return Timings(
        blocks_s=tuple(one.wall_s for one in laps),
        device_blocks_s=tuple(one.device_s for one in laps if one.device_s is not None),
        calls_per_block=inner,
        batch=batch,
        time=time,
        first_call_s=first.wall_s,
    )


def lap(call: Callable[[], object], watch: Stopwatch, times: int) -> Lap:
    """Time `times` calls in a row."""
    watch.start()
    for _ in range(times):
        call()
    return watch.stop()


def spread(timings: Timings) -> float:
    """Return the interquartile range of the blocks, relative to their median."""
    low, middle, high = statistics.quantiles(timings.blocks_s, n=4)
    return (high - low) / middle


def doubts(name: str, timings: Timings) -> list[str]:
    """Say what makes `timings` hard to trust; and, after a semicolon, what to do."""
    found = spread(timings)
    if found <= NOISY:
        return []
    return [f"{name} spreads by {found:.0%} of its median; close other programs and --remeasure"]
