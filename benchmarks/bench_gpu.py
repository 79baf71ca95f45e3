"""What only a CUDA GPU can show: compiled steps, replayed as a CUDA graph, against cuDNN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from interleaved import race, save
from torch import nn

from cellbench.cells import CELLS
from cellbench.cells.base import Cell, ParallelCell
from cellbench.measure.precision import set_precision
from cellbench.measure.replay import CudaRecorder
from cellbench.unroll import Carrier, Way

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

STEP_CELLS = sorted(
    n for n, make in CELLS.items() if not isinstance(make(3, 4), ParallelCell) and n != "lstmn"
)
"""Cells without a form for whole sequences; lstmn's tape grows, so it is not compiled."""


@pytest.fixture(autouse=True)
def _same_arithmetic() -> None:
    set_precision()


def finished(call: Callable[[], object]) -> Callable[[], None]:
    """Return `call` with a wait for the device at its end."""

    def run() -> None:
        call()
        torch.cuda.synchronize()

    return run


def passes(cell: Cell, x: torch.Tensor, way: Way) -> Callable[[], None]:
    """Return forward and backward of `cell`; compiled, they are replayed as one graph."""
    carrier = Carrier(way)
    carried = carrier.prepare(cell, x, calls=1)
    assert carried.way is way, carried.fallback

    def run() -> None:
        cell.zero_grad(set_to_none=True)
        carrier(cell, x)[0].square().mean().backward()

    return finished(CudaRecorder(x.device).record(run) if way is Way.COMPILED else run)


def kernel(width: int, x: torch.Tensor) -> Callable[[], None]:
    layer = nn.LSTM(width, width, device=x.device, dtype=x.dtype)

    def run() -> None:
        layer.zero_grad(set_to_none=True)
        layer(x)[0].square().mean().backward()

    return finished(run)


def sequences(time: int, batch: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(time, batch, width, device="cuda", dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_plain_step_lstm_against_cudnn_and_its_eager_loop(benchmark, dtype) -> None:
    x = sequences(1024, 16, 768, dtype)
    cell = CELLS["lstm"](768, 768).to(x)
    ours = passes(cell, x, Way.COMPILED)
    ratio = benchmark.pedantic(lambda: race(kernel(768, x), ours, rounds=15), rounds=1)
    eager = race(ours, passes(cell, x, Way.STEPWISE), rounds=5)
    print(f"\nplain-step LSTM replayed / cuDNN, T=1024, B=16, H=768, {dtype}: {ratio}")
    print(f"its eager loop / replayed: {eager}")
    name = f"gpu-lstm-{str(dtype).removeprefix('torch.')}"
    save(name, "at most 2.6; eager at least 20", ratio, eager=eager.median, predicted=2.6)


@pytest.mark.parametrize("name", STEP_CELLS)
def test_every_step_cell_against_its_eager_loop_and_cudnn(benchmark, name) -> None:
    x = sequences(512, 64, 128, torch.float32)
    cell = CELLS[name](128, 128).to(x)
    ours = passes(cell, x, Way.COMPILED)
    stepwise = passes(cell, x, Way.STEPWISE)
    ratio = benchmark.pedantic(lambda: race(ours, stepwise, rounds=9), rounds=1)
    against = race(kernel(128, x), ours, rounds=15)
    print(f"\n{name}, eager loop / replayed, T=512, B=64, H=128: {ratio}")
    print(f"{name} replayed / cuDNN's LSTM: {against}")
    claim = "at least 10; hyperlstm at most 4 times cuDNN's LSTM"
    save(f"gpu-{name}", claim, ratio, over_cudnn_lstm=against.median, predicted=10)
