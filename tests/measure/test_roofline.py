"""The roofline: one example by hand, and ceilings by a clock that moves when told."""

from __future__ import annotations

import pytest
import torch
from test_timing import Ticking

from cellbench.measure.roofline import (
    Footprint,
    least_s,
    measure_ceilings,
    size_bytes,
)
from cellbench.measure.timing import Lap, Stopwatch
from cellbench.record import Ceilings, Work

MACHINE = Ceilings(operations_per_s=100.0, bytes_per_s=10.0)


class Counting(Stopwatch):
    """A stopwatch by which every block takes a second, and on the device half of one."""

    def __init__(self, *, device: bool = False) -> None:
        self._device_s = 0.5 if device else None

    def start(self) -> None:
        pass

    def stop(self) -> Lap:
        return Lap(1.0, self._device_s)


def test_the_slower_of_two_ceilings_decides() -> None:
    much_to_compute = Work(operations=500, bytes=20)
    much_to_move = Work(operations=100, bytes=40)

    assert least_s(much_to_compute, MACHINE) == 5.0
    assert least_s(much_to_move, MACHINE) == 4.0


def test_an_lstm_by_hand() -> None:
    """T=10, B=2, input and hidden 3, float32, in numbers of 4 bytes each:

    parameters 4*3*3 + 4*3*3 + 4*3 + 4*3 = 96, inputs and outputs 10*2*3 = 60, state 2*2*3 = 12.
    Inference moves 96 + 60 + 60 + 2*12 = 240. The backward pass reads parameters (96), inputs
    (60) and the cotangent (60), and writes gradients of parameters (96) and inputs (60).
    """
    cell = torch.nn.LSTM(3, 3)
    x = torch.zeros(10, 2, 3)
    y, state = cell(x)
    size = Footprint(
        size_bytes(cell.parameters()), size_bytes([x]), size_bytes([y]), size_bytes(state)
    )

    assert size == Footprint(96 * 4, 60 * 4, 60 * 4, 12 * 4)
    assert size.inference_bytes == 240 * 4
    assert size.training_bytes == (240 + 96 + 60 + 60 + 96 + 60) * 4


def test_half_precision_moves_half_the_bytes() -> None:
    assert size_bytes([torch.zeros(3, dtype=torch.bfloat16), torch.zeros(2)]) == 3 * 2 + 2 * 4


def test_ceilings_are_what_was_done_in_the_time_it_took() -> None:
    found = measure_ceilings(
        torch.device("cpu"), torch.float32, Counting(), side=8, copy_bytes=1000
    )

    assert found.operations_per_s == 2 * 8**3
    assert found.bytes_per_s == 2 * 1000


def test_ceilings_are_read_from_the_device_where_it_has_a_clock() -> None:
    watch = Counting(device=True)
    found = measure_ceilings(torch.device("cpu"), torch.float64, watch, side=8, copy_bytes=1000)

    assert found == Ceilings(operations_per_s=4 * 8**3, bytes_per_s=4 * 1000)


def test_a_ceiling_is_the_quickest_block() -> None:
    class Tiring(Counting):
        """Every block takes a second longer than the one before."""

        laps = 0

        def stop(self) -> Lap:
            Tiring.laps += 1
            return Lap(float(Tiring.laps))

    found = measure_ceilings(torch.device("cpu"), torch.float32, Tiring(), side=4, copy_bytes=10)

    assert found.operations_per_s == pytest.approx(2 * 4**3 / 4), "after three calls to warm up"


def test_new_inputs_are_drawn_before_each_block_and_in_no_time_of_it() -> None:
    from cellbench.measure.timing import time_blocks  # noqa: PLC0415 -- beside what it is for

    watch = Ticking(0.01)
    seen: list[int] = []
    timings = time_blocks(
        watch.work, watch, batch=1, time=1, budget_s=0.3, refresh=lambda: seen.append(watch.calls)
    )

    assert seen == [3 + 5 * n for n in range(6)]
    assert timings.blocks_s == pytest.approx([0.05] * 6)
