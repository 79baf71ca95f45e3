"""Cells that nobody wrote a kernel for, compiled: against their own authors' loops, and kernels."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from interleaved import Ratio, race, save
from torch import nn

from cellbench.cells.adapter import as_cell
from cellbench.cells.base import Cell
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.lstm import LSTM
from cellbench.measure.memory import keep_freed_memory
from cellbench.train.stacked_cell import StackedCell
from cellbench.unroll import Carrier, Way

T, B, H, HYPER, Z = 100, 32, 64, 32, 4
SEEDS = 8

NOT_CELLS = {
    "IntersectionRNN": "raises when it is given the state that it returned",
    "MCLSTM": "takes two inputs",
    "TLSTM": "raises on its own initial state",
    "Base": "is abstract",
}
"""Names in torchrecurrent that are not run, and why."""


def work(cell: Cell, x: torch.Tensor) -> Callable[[], None]:
    """Return forward and backward of `cell`, compiled."""
    carrier = Carrier(Way.COMPILED)
    carried = carrier.prepare(cell, x, calls=1)
    assert carried.way is Way.COMPILED, carried.fallback

    def run() -> None:
        cell.zero_grad()
        carrier(cell, x)[0].square().mean().backward()

    return run


def hyperlstm() -> HyperLSTM:
    return HyperLSTM(H, H, hyper_size=HYPER, embedding_size=Z)


def labml() -> nn.Module:
    module = pytest.importorskip("labml_nn.hypernetworks.hyper_lstm", reason="tests/parity.txt")
    layer: nn.Module = module.HyperLSTM(H, H, HYPER, Z, 1)
    return layer


def backward_through(layer: nn.Module, x: torch.Tensor) -> None:
    layer.zero_grad()
    layer(x)[0].square().mean().backward()


def test_hyperlstm_against_labml_one_seed_one_thread(benchmark) -> None:
    torch.manual_seed(0)
    x, theirs = torch.randn(T, B, H), labml()
    ours = work(hyperlstm(), x)
    ratio = benchmark.pedantic(
        lambda: race(ours, lambda: backward_through(theirs, x), rounds=25), rounds=1
    )
    print(f"\nlabml-nn / ours compiled, HyperLSTM, one seed, one thread: {ratio}")
    save("hyperlstm-compiled", "at least 5", ratio, predicted=6.5)


def _worker(connection, stacks: tuple[int, ...]) -> None:
    """Run stacks of seeds on one thread each time it is told to."""
    torch.set_num_threads(1)
    keep_freed_memory()
    runs = []
    for seeds in stacks:
        cell = StackedCell([hyperlstm() for _ in range(seeds)]) if seeds > 1 else hyperlstm()
        shape = (T, seeds, B, H) if seeds > 1 else (T, B, H)
        runs.append(work(cell, torch.randn(shape)))
    connection.send("ready")
    while connection.recv():
        for run in runs:
            run()
        connection.send("done")


class Processes:
    """Two processes of one thread each, with half of the seeds each.

    Args:
        stacks: The seeds of a process, a number for each stack of them.
    """

    def __init__(self, stacks: tuple[int, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connections = []
        for _ in range(2):
            ours, theirs = context.Pipe()
            context.Process(target=_worker, args=(theirs, stacks), daemon=True).start()
            self._connections.append(ours)
            assert ours.recv() == "ready"  # one compiles, the other finds it compiled

    def __call__(self) -> None:
        for connection in self._connections:
            connection.send(True)  # noqa: FBT003
        for connection in self._connections:
            connection.recv()

    def end(self) -> None:
        for connection in self._connections:
            connection.send(False)  # noqa: FBT003


@pytest.mark.parametrize("stacks", [(1, 1, 1, 1), (4,)], ids=["processes", "processes-of-stacks"])
def test_hyperlstm_against_labml_eight_seeds_two_cores(benchmark, stacks) -> None:
    """labml-nn has two threads and one seed after the other."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    x, theirs, ours = torch.randn(T, B, H), [labml() for _ in range(SEEDS)], Processes(stacks)

    def one_after_the_other() -> None:
        for layer in theirs:
            backward_through(layer, x)

    try:
        ratio = benchmark.pedantic(lambda: race(ours, one_after_the_other, rounds=15), rounds=1)
    finally:
        ours.end()
    name = "stacks" if stacks == (4,) else "alone"
    print(f"\nlabml-nn / ours, HyperLSTM, {SEEDS} seeds on two cores, {name}: {ratio}")
    save(f"hyperlstm-8-seeds-{name}", "at least 8", ratio, predicted=10)


def test_a_plain_step_lstm_of_eight_seeds_against_eight_kernels(benchmark) -> None:
    """No library kernel on our side: `step`, stacked and compiled, on one thread."""
    torch.manual_seed(0)
    time, batch, hidden = 100, 20, 32
    ours = work(
        StackedCell([LSTM(hidden, hidden) for _ in range(SEEDS)]),
        torch.randn(time, SEEDS, batch, hidden),
    )
    layers = [nn.LSTM(hidden, hidden) for _ in range(SEEDS)]
    inputs = [torch.randn(time, batch, hidden) for _ in range(SEEDS)]

    def one_after_the_other() -> None:
        for layer, x in zip(layers, inputs, strict=True):
            backward_through(layer, x)

    ratio = benchmark.pedantic(lambda: race(one_after_the_other, ours, rounds=25), rounds=1)
    print(f"\nplain-step LSTM, {SEEDS} seeds / as many nn.LSTM one by one: {ratio}")
    save("plain-lstm-8-seeds", "at most 1.5", ratio, predicted=1.3)


def cell_names(package: ModuleType) -> list[str]:
    names = (name.removesuffix("Cell") for name in dir(package) if name.endswith("Cell"))
    return [name for name in names if name not in NOT_CELLS and hasattr(package, name)]


def test_every_cell_of_torchrecurrent_unchanged(benchmark) -> None:
    """Their cell in our loop, against their cell in their loop, on one thread."""
    torchrecurrent = pytest.importorskip("torchrecurrent", reason="tests/parity.txt")
    time, batch, width = 128, 16, 64
    ratios: dict[str, Ratio] = {}

    def all_of_them() -> None:
        for name in cell_names(torchrecurrent):
            torch.manual_seed(0)
            x = torch.randn(time, batch, width)
            theirs = getattr(torchrecurrent, name)(width, width)
            ours = work(as_cell(getattr(torchrecurrent, f"{name}Cell")(width, width), width), x)
            ratios[name] = race(ours, lambda t=theirs, x=x: backward_through(t, x), rounds=11)
            print(f"\n{name}: {ratios[name]}", end="")

    benchmark.pedantic(all_of_them, rounds=1)
    medians = {name: ratio.median for name, ratio in ratios.items()}
    mean = math.exp(sum(map(math.log, medians.values())) / len(medians))
    print(f"\ntorchrecurrent / ours: geometric mean {mean:.2f} of {len(medians)} cells")
    worst = min(ratios.values(), key=lambda ratio: ratio.median)
    save(
        "torchrecurrent",
        "each at least 3, geometric mean at least 6",
        worst,
        geometric_mean=mean,
        each={name: [ratio.median, *ratio.interval] for name, ratio in ratios.items()},
        not_run=NOT_CELLS,
        predicted=6,
    )
