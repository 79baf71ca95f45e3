"""Timing, by a clock that moves when told."""

from __future__ import annotations

import statistics

import pytest
import torch

from cellbench.measure.timing import (
    FEWEST_BLOCKS,
    MOST_BLOCKS,
    Lap,
    Stopwatch,
    WallStopwatch,
    doubts,
    stopwatch,
    time_blocks,
)
from cellbench.record import Timings


class Ticking(Stopwatch):
    """A stopwatch whose every call of the work takes what it is told."""

    def __init__(self, per_call_s: float, *, first_s: float = 0.0, device: bool = False) -> None:
        self.calls = 0
        self._before = 0
        self._per_call_s = per_call_s
        self._first_s = first_s
        self._device = device
        self.laps: list[int] = []

    def work(self) -> None:
        self.calls += 1

    def start(self) -> None:
        self._before = self.calls

    def stop(self) -> Lap:
        done = self.calls - self._before
        self.laps.append(done)
        extra = self._first_s if self._before == 0 else 0.0
        wall = done * self._per_call_s + extra
        return Lap(wall, wall / 2 if self._device else None)


def test_the_first_call_is_reported_apart_and_never_timed() -> None:
    watch = Ticking(0.001, first_s=9.0)
    timings = time_blocks(watch.work, watch, batch=4, time=10)

    assert timings.first_call_s == pytest.approx(9.001)
    assert max(timings.blocks_s) < 1


def test_a_quick_call_is_repeated_until_reading_the_clock_costs_nothing() -> None:
    watch = Ticking(0.00001)
    timings = time_blocks(watch.work, watch, batch=4, time=10)

    assert timings.calls_per_block == 5000
    assert timings.blocks_s[0] == pytest.approx(0.05)
    assert timings.call_s == pytest.approx(0.00001)
    assert timings.sequences_per_s == pytest.approx(4 / 0.00001)


@pytest.mark.parametrize(("per_call_s", "blocks"), [(10.0, FEWEST_BLOCKS), (0.0001, MOST_BLOCKS)])
def test_there_are_never_too_few_blocks_and_never_too_many(per_call_s, blocks) -> None:
    watch = Ticking(per_call_s)
    timings = time_blocks(watch.work, watch, batch=1, time=1)

    assert len(timings.blocks_s) == blocks


def test_the_device_has_a_clock_of_its_own() -> None:
    watch = Ticking(0.01, device=True)
    timings = time_blocks(watch.work, watch, batch=1, time=1)

    assert timings.device_blocks_s == pytest.approx([wall / 2 for wall in timings.blocks_s])


def test_a_slow_block_moves_no_speed_and_is_kept() -> None:
    timings = Timings(
        blocks_s=(1.0, 1.0, 1.0, 9.0, 1.0), calls_per_block=2, batch=6, time=1, first_call_s=1.0
    )

    assert timings.call_s == 0.5
    assert timings.sequences_per_s == 12


def test_noise_is_told_with_its_number_and_a_remedy() -> None:
    noisy = Timings(
        blocks_s=(1.0, 1.4, 0.8, 1.3, 0.7), calls_per_block=1, batch=1, time=1, first_call_s=1.0
    )
    low, middle, high = statistics.quantiles(noisy.blocks_s, n=4)
    (told,) = doubts("train step", noisy)

    assert f"{(high - low) / middle:.0%}" in told
    assert "close other programs" in told


def test_steady_blocks_raise_no_doubt() -> None:
    steady = Timings(
        blocks_s=(1.0, 1.01, 0.99, 1.0, 1.02), calls_per_block=1, batch=1, time=1, first_call_s=1.0
    )

    assert doubts("train step", steady) == []


def test_the_cpu_is_timed_by_the_wall() -> None:
    watch = stopwatch(torch.device("cpu"))
    watch.start()
    lap = watch.stop()

    assert isinstance(watch, WallStopwatch)
    assert 0 <= lap.wall_s < 1
    assert lap.device_s is None
