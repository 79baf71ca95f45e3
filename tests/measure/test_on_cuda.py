"""The CUDA paths, where there is no GPU: with stand-ins for the driver's answers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cellbench.measure import environment as environments
from cellbench.measure import memory
from cellbench.measure.memory import measure_memory
from cellbench.measure.timing import CudaStopwatch, stopwatch

GPU = torch.device("cuda", 0)


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Return the log of what is asked of the driver."""
    log: list[str] = []

    class Event:
        made = 0

        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            Event.made += 1
            self.name = f"event {Event.made}"

        def record(self, stream: str) -> None:
            log.append(f"{self.name} on {stream}")

        def elapsed_time(self, other: Event) -> float:
            log.append(f"{self.name} to {other.name}")
            return 1500.0

    def synchronize(_: torch.device) -> None:
        log.append("synchronize")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: "the stream of the work")
    return log


def test_device_time_is_between_events_on_the_stream_of_the_work(calls) -> None:
    watch = stopwatch(GPU)
    watch.start()
    calls.append("work")
    lap = watch.stop()

    assert isinstance(watch, CudaStopwatch)
    assert lap.device_s == 1.5, "milliseconds, to seconds"
    assert calls == [
        "synchronize",
        "event 1 on the stream of the work",
        "work",
        "event 2 on the stream of the work",
        "synchronize",
        "event 1 to event 2",
    ]


def test_gpu_memory_is_the_allocators_peak_since_a_reset(monkeypatch, calls) -> None:
    stats = {
        "allocated_bytes.all.peak": 700, "reserved_bytes.all.peak": 2000, "num_alloc_retries": 3,
    }  # fmt: skip

    def work() -> None:
        calls.append("work")
        stats["num_alloc_retries"] = 4

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty cache"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: calls.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda _: dict(stats))
    monkeypatch.setattr(memory, "gpu_process_bytes", lambda _: 9000)
    found = measure_memory(
        work, lambda: calls.append("before"), held_bytes=1, static_bytes=5, device=GPU
    )

    assert calls == ["before", "synchronize", "empty cache", "reset", "work", "synchronize"]
    assert found.peak_allocated_bytes == 700
    assert found.peak_reserved_bytes == 2000
    assert found.process_bytes == 9000
    assert found.static_bytes == 5
    assert found.alloc_retries == 1


def test_a_gpu_is_part_of_the_key(monkeypatch) -> None:
    card = SimpleNamespace(
        name="NVIDIA H200", major=9, minor=0, multi_processor_count=132, total_memory=1 << 37,
        L2_cache_size=1 << 26, uuid="0000",
    )  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(environments, "_nvml", lambda _: {"driver": "570.86.15"})
    found = environments.environment(GPU, "float32", threads=1)

    assert found.key["device"] == "NVIDIA H200"
    assert found.key["driver"] == "570", "the major version alone"
    assert found.facts["gpu"]["capability"] == "9.0"


def test_without_a_driver_there_are_no_facts_and_no_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a driver")

    assert environments._nvml("0000") == {}  # noqa: SLF001 -- the only way to the missing driver
