"""How long a call takes when nothing has to be launched: recorded once, then replayed.

On a GPU a cell written as plain steps mostly waits for the next launch. Events on the device do
not show it, since the waiting lies between them; a CUDA graph of the same kernels does.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import final

import torch
from msgspec.structs import replace

from cellbench.measure.timing import Stopwatch, lap
from cellbench.record import Timings

LAUNCH_BOUND = 1.5
"""How many times the replayed time the wall time is where launches, not kernels, decide."""

WARMUP = 3
"""Calls before recording: what libraries set up on first use must not be recorded."""

Call = Callable[[], object]


class Recorder(abc.ABC):
    """Makes of a call one that does the same work without launching it."""

    @abc.abstractmethod
    def record(self, call: Call) -> Call:
        """Return what replays `call` on the memory that it used.

        Raises:
            RuntimeError: It cannot be recorded: it waits for the device, or copies from it.
        """


@final
class CudaRecorder(Recorder):
    """Records CUDA graphs."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def record(self, call: Call) -> Call:
        here = torch.cuda.current_stream(self._device)
        apart = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch's
        apart.wait_stream(here)
        with torch.cuda.stream(apart):
            for _ in range(WARMUP):
                call()
        here.wait_stream(apart)
        graph = torch.cuda.CUDAGraph()
        # From a recording that fails, torch does not return to this stream by itself.
        with torch.cuda.stream(here), torch.cuda.graph(graph):
            kept = call()
        torch.cuda.synchronize(self._device)

        def replay() -> object:
            graph.replay()
            return kept  # it lies in the graph's own memory: alive as long as that is

        return replay


def with_replay(
    timings: Timings,
    call: Call,
    recorder: Recorder,
    watch: Stopwatch,
    *,
    refresh: Callable[[], None] | None = None,
) -> tuple[Timings, str]:
    """Return `timings` with blocks of the replayed call; or as they are, and why.

    Args:
        timings: Of `call`; there will be as many blocks of as many calls.
        call: What was timed.
        recorder: See `CudaRecorder`.
        watch: Its device's clock is read where it has one.
        refresh: Makes new inputs before each block, in the tensors that `call` reads.
    """
    try:
        replayed = recorder.record(call)
        _block(replayed, watch, 1)
        blocks = []
        for _ in timings.blocks_s:
            if refresh is not None:
                refresh()
            blocks.append(_block(replayed, watch, timings.calls_per_block))
    except RuntimeError as error:  # torch's errors on the device are of this kind
        return timings, _reason(error)
    return replace(timings, replay_blocks_s=tuple(blocks)), ""


def _reason(error: BaseException) -> str:
    """Say what went wrong first: a recording that fails once more at its end hides the cause."""
    while isinstance(error.__context__, RuntimeError):
        error = error.__context__
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _block(call: Call, watch: Stopwatch, times: int) -> float:
    found = lap(call, watch, times)
    return found.wall_s if found.device_s is None else found.device_s


def launch_bound(timings: Timings) -> float | None:
    """Return how many times longer the wall time is than the device needs, where that is much.

    The device's need is the replayed time, or the time between events where that is shorter.
    None where the two are near each other, and where the device's is not known.
    """
    known = [s for s in (timings.device_call_s, timings.replay_call_s) if s is not None]
    ratio = timings.call_s / min(known) if known else 0.0
    return ratio if ratio > LAUNCH_BOUND else None
