"""Work on a GPU that is recorded once and then repeated, without the host."""

from __future__ import annotations

import abc
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Work = Callable[[], object]

WARM_UPS = 3
"""Runs before a recording, for what is only done in the first: libraries, workspaces, tuning."""

AHEAD = 8
"""Replays that may wait on the device: enough that it never waits for the host, and few enough
that training goes hardly further than the look that ends it."""


class Fetched(abc.ABC):
    """Numbers on their way from the device."""

    @abc.abstractmethod
    def ready(self) -> bool:
        """Tell whether they have arrived."""

    @abc.abstractmethod
    def read(self) -> Tensor:
        """Wait for them, and return them on the host."""


class Graphs(abc.ABC):
    """Records work, and repeats it."""

    @abc.abstractmethod
    def record(self, work: Work) -> Callable[[], None]:
        """Do `work` a few times, record it, and return what repeats it, on the same memory.

        What `work` changes is not as it was before: the caller puts it right. Where it keeps
        Python's state, that is repeated as it was when it was recorded.

        Raises:
            Exception: Whatever `work` does that cannot be recorded.
        """

    @abc.abstractmethod
    def fetch(self, values: Tensor) -> Fetched:
        """Send `values`, as they are once all that was asked for is done, to the host."""

    @abc.abstractmethod
    def pace(self) -> None:
        """Wait while too many repetitions are under way."""


class CudaGraphs(Graphs):
    """CUDA graphs, replayed on the current stream."""

    def __init__(self) -> None:
        self._last: weakref.ref[torch.cuda.CUDAGraph] | None = None
        self._under_way: deque[torch.cuda.Event] = deque()

    def record(self, work: Work) -> Callable[[], None]:
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                work()
            with _no_waiting():
                work()
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool(), stream=side):
            work()
        self._last = weakref.ref(graph)
        return graph.replay

    def _pool(self) -> Any:
        """Return the memory of the graph before, if it is still there.

        Nothing that work makes for itself outlives its replay: so all can make it in one place.
        """
        last = self._last() if self._last else None
        return None if last is None else last.pool()

    def fetch(self, values: Tensor) -> Fetched:
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        host.copy_(values, non_blocking=True)
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        return _Copied(host, event)

    def pace(self) -> None:
        # Blocking: a wait leaves the processor to others.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        self._under_way.append(event)
        if len(self._under_way) > AHEAD:
            self._under_way.popleft().synchronize()


class _Copied(Fetched):
    def __init__(self, host: Tensor, event: torch.cuda.Event) -> None:
        self._host = host
        self._event = event

    def ready(self) -> bool:
        return bool(self._event.query())  # type: ignore[no-untyped-call]

    def read(self) -> Tensor:
        self._event.synchronize()
        return self._host


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Raise where the host waits for the device, which would spoil a recording for good."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
