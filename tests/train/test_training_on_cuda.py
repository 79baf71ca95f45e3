"""Captured steps where there is a GPU; and what is asked of the driver, where there is none."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from levels import STEPWISE, TOKENS, VECTORS, Doubled, assert_same, model_of
from toy_cells import Plain

from cellbench.cells import CELLS
from cellbench.train import draws, graphs
from cellbench.train.captured import CapturedCrew, recorder
from cellbench.train.crew import PlainCrew
from cellbench.train.graphs import CudaGraphs
from cellbench.train.loop import train
from cellbench.train.stacked import train_stack
from cellbench.train.trainer import Trainer
from cellbench.unroll import Carrier

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
GPU = torch.device("cuda", 0)
CLOCK = {"clock": lambda: 0.0}


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch) -> None:
    monkeypatch.setattr(draws, "MOST_STEPS", 4)


def on_gpu(make, task, seed: int, carrier=STEPWISE):
    return model_of(make, task, seed, carrier).to(GPU)


def unrecorded(_):
    return None


@gpu
@pytest.mark.parametrize("carrier", [STEPWISE, Carrier()], ids=["stepwise", "auto"])
@pytest.mark.parametrize("task", [TOKENS, VECTORS], ids=["tokens", "vectors"])
@pytest.mark.parametrize("name", sorted(CELLS))
def test_a_captured_step_learns_what_a_plain_one_does(name, task, carrier) -> None:
    settings = {"seed": 0, "steps": 30} | CLOCK
    found = train(on_gpu(CELLS[name], task, 0, carrier), task, **settings)
    right = train(on_gpu(CELLS[name], task, 0, carrier), task, recorder=unrecorded, **settings)

    assert found.how.captured, found.how.fallback
    assert_same(found, right)


@gpu
@pytest.mark.parametrize("name", ["hyperlstm", "lstmn", "min_gru"])
def test_a_captured_stack_learns_what_each_seed_does_alone(name) -> None:
    task = dataclasses.replace(TOKENS, solved=0.45)
    models = [on_gpu(CELLS[name], task, seed) for seed in range(4)]
    ends = dict(train_stack(models, task, seeds=range(4), steps=80, **CLOCK))

    for seed, learned in ends.items():
        alone = on_gpu(CELLS[name], task, seed)
        right = train(alone, task, seed=seed, steps=80, recorder=unrecorded, **CLOCK)

        assert learned.how.captured, learned.how.fallback
        assert_same(learned, right)


@gpu
def test_between_two_looks_the_host_waits_for_nothing(monkeypatch) -> None:
    monkeypatch.setattr(draws, "MOST_STEPS", 64)
    trainer = Trainer(on_gpu(Plain, TOKENS, 0), learning_rate=0.1, clip=1.0)
    plain = PlainCrew(trainer, TOKENS, 0, steps=100, **CLOCK)
    crew = CapturedCrew(plain, CudaGraphs())
    monkeypatch.setattr(graphs, "AHEAD", 1000)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(30):
            crew.step()
        crew.look()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@gpu
def test_a_cell_that_reads_values_is_trained_uncaptured() -> None:
    class Branches(Plain):
        def step(self, p_t, state):
            y, state = super().step(p_t, state)
            return (y, state) if y.sum() > 0 else (-y, state)

    settings = {"seed": 0, "steps": 14} | CLOCK
    found = train(on_gpu(Branches, TOKENS, 0), TOKENS, **settings)

    assert not found.how.captured
    assert "synchronizing" in found.how.fallback
    assert_same(found, train(on_gpu(Branches, TOKENS, 0), TOKENS, recorder=unrecorded, **settings))


class AlwaysTheSame(Doubled):
    """Draws the same sequence, whatever is asked for."""

    def sample(self, stream, index):
        return super().sample(stream, index * 0)


@gpu
@pytest.mark.parametrize("chance", [0.0, 0.5])
def test_dropout_is_drawn_anew_at_every_replay(chance) -> None:
    budget = dataclasses.replace(TOKENS.budget, learning_rate=1e-30, validate_every=1)
    generator = AlwaysTheSame(TOKENS.generator)
    task = dataclasses.replace(TOKENS, generator=generator, budget=budget, solved=2.0)

    def make(input_size, hidden_size):
        return CELLS["hyperlstm"](input_size, hidden_size, recurrent_dropout=chance)

    found = train(on_gpu(make, task, 0), task, seed=0, steps=12, **CLOCK)

    assert found.how.captured, found.how.fallback
    assert len({point.train_loss for point in found.curve}) == (12 if chance else 1)


def test_on_a_gpu_steps_are_recorded_and_elsewhere_not() -> None:
    assert isinstance(recorder(GPU), CudaGraphs)
    assert recorder(torch.device("cpu")) is None


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Return the log of what is asked of the driver."""
    log: list[str] = []

    class Event:
        made = 0

        def __init__(self, *, blocking: bool) -> None:
            assert blocking
            Event.made += 1
            self.name = f"event {Event.made}"

        def record(self) -> None:
            log.append(f"{self.name} recorded")

        def synchronize(self) -> None:
            log.append(f"{self.name} awaited")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    return log


def test_the_host_runs_ahead_of_the_device_but_not_far(calls) -> None:
    cuda = CudaGraphs()
    for _ in range(graphs.AHEAD):
        cuda.pace()

    assert calls == [f"event {n} recorded" for n in range(1, graphs.AHEAD + 1)]

    cuda.pace()

    assert calls[-1] == "event 1 awaited"


class Stream:
    """A stream that says who waits for it, and that is entered to work on it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def wait_stream(self, other: Stream) -> None:
        self.log.append(f"{self.name} waits for {other.name}")

    def __enter__(self) -> None:
        self.log.append(f"on {self.name}")

    def __exit__(self, *_) -> None:
        self.log.append(f"off {self.name}")


class Recording:
    """Stands in for `torch.cuda.graph`."""

    def __init__(self, graph, *, pool, stream) -> None:
        self.log = stream.log
        self.log.append(f"record on {stream.name}, memory of {pool}")

    def __enter__(self) -> None:
        self.log.append("begin")

    def __exit__(self, *_) -> None:
        self.log.append("end")


def test_work_is_warmed_up_and_recorded_on_a_stream_of_its_own(monkeypatch) -> None:
    log: list[str] = []

    class Graph:
        def pool(self) -> str:
            return "the graph before"

        def replay(self) -> None:
            log.append("replay")

    for name, value in {
        "current_stream": lambda: Stream("main", log),
        "Stream": lambda: Stream("side", log),
        "stream": lambda stream: stream,
        "graph": Recording,
        "CUDAGraph": Graph,
        "get_sync_debug_mode": lambda: 0,
        "set_sync_debug_mode": lambda mode: log.append(f"waiting: {mode}"),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    cuda = CudaGraphs()
    replay = cuda.record(lambda: log.append("work"))

    assert log == [
        "side waits for main",
        "on side",
        *["work"] * graphs.WARM_UPS,
        "waiting: error",
        "work",
        "waiting: 0",
        "off side",
        "main waits for side",
        "record on side, memory of None",
        "begin",
        "work",
        "end",
    ]

    log.clear()
    replay()
    kept = cuda.record(lambda: None)

    assert log[0] == "replay"
    assert "record on side, memory of the graph before" in log

    del replay, kept
    cuda.record(lambda: None)

    assert log[-3] == "record on side, memory of None", "the graphs before are gone"
