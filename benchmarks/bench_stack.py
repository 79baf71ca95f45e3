"""Seeds trained at once, against seeds trained one after the other; and steps that are replayed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from interleaved import race, save

from cellbench.catalog import find_task
from cellbench.cells import CELLS
from cellbench.train.captured import fastest, recorder
from cellbench.train.crew import PlainCrew
from cellbench.train.model import SequenceModel
from cellbench.train.stacked_crew import StackedCrew
from cellbench.train.stacked_model import StackedModel
from cellbench.train.stacked_trainer import StackedTrainer
from cellbench.train.trainer import Trainer
from cellbench.unroll import Carrier, Way

SEEDS = tuple(range(8))
MANY = 10**6
"""Steps that are planned: so many that everything repays itself."""

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of what is trained: a copying level of `time` steps."""

    time: int
    batch: int
    hidden: int
    device: str = "cpu"

    @property
    def task(self):
        task = find_task("copying/delay-100")
        return dataclasses.replace(
            task,
            generator=dataclasses.replace(task.generator, delay=self.time - 20),
            budget=dataclasses.replace(task.budget, batch=self.batch),
        )

    def model(self, cell: str, seed: int, way: Way) -> SequenceModel:
        torch.manual_seed(seed)
        generator = self.task.generator
        reads, answers = generator.reads, generator.answers
        return SequenceModel(CELLS[cell], reads, answers, self.hidden, Carrier(way)).to(self.device)


def one_by_one(cell: str, way: Way, sizes: Sizes, *, replayed: bool = False) -> Callable[[], None]:
    """Return a training step of each seed, one after the other."""
    task, budget = sizes.task, sizes.task.budget
    crews = []
    for seed in SEEDS:
        model = sizes.model(cell, seed, way)
        trainer = Trainer(model, learning_rate=budget.learning_rate, clip=budget.clip)
        plain = PlainCrew(trainer, task, seed, steps=MANY, clock=lambda: 0.0)
        crews.append(fastest(plain, recorder if replayed else lambda _: None))

    def step() -> None:
        for crew in crews:
            crew.step()
        _wait(sizes)

    return step


def at_once(cell: str, way: Way, sizes: Sizes, *, replayed: bool = False) -> Callable[[], None]:
    """Return a training step of a stack of all seeds."""
    budget = sizes.task.budget
    models = [sizes.model(cell, seed, way) for seed in SEEDS]
    trainer = StackedTrainer(
        StackedModel(models), learning_rate=budget.learning_rate, clip=budget.clip
    )
    plain = StackedCrew(trainer, sizes.task, SEEDS, models, steps=MANY, clock=lambda: 0.0)
    crew = fastest(plain, recorder if replayed else lambda _: None)
    print(f"\n{cell}, {len(SEEDS)} seeds at once: {crew.how()}")

    def step() -> None:
        crew.step()
        _wait(sizes)

    return step


def _wait(sizes: Sizes) -> None:
    if sizes.device == "cuda":
        torch.cuda.synchronize()


@pytest.mark.parametrize("way", [Way.STEPWISE, Way.COMPILED])
def test_a_plain_step_lstm_of_eight_seeds_against_eight_kernels(benchmark, way) -> None:
    sizes = Sizes(time=100, batch=20, hidden=32)
    kernels, stack = one_by_one("lstm", Way.PARALLEL, sizes), at_once("lstm", way, sizes)
    ratio = benchmark.pedantic(lambda: race(kernels, stack, rounds=25), rounds=1)
    print(f"eight seeds of a plain-step LSTM, {way} / eight of torch's kernel: {ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    save(f"stacked-lstm-{way}", "at most 1.5 compiled", ratio, predicted=1.5)


@pytest.mark.parametrize("cell", ["hyperlstm", "min_gru"])
def test_a_stack_against_the_same_one_by_one(benchmark, cell) -> None:
    sizes = Sizes(time=100, batch=32, hidden=64)
    way = Way.COMPILED if cell == "hyperlstm" else Way.PARALLEL
    stack, alone = at_once(cell, way, sizes), one_by_one(cell, way, sizes)
    ratio = benchmark.pedantic(lambda: race(stack, alone, rounds=15), rounds=1)
    print(f"{cell}, {way}, eight one by one / eight at once, one thread: {ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    save(f"stacked-{cell}", "no claim", ratio, predicted=1.0)


@gpu
@pytest.mark.parametrize("cell", ["hyperlstm", "ln_lstm"])
def test_a_replayed_stack_against_eight_cudnn_lstms(benchmark, cell) -> None:
    sizes = Sizes(time=100, batch=32, hidden=128, device="cuda")
    stack = at_once(cell, Way.COMPILED, sizes, replayed=True)
    kernels = one_by_one("lstm", Way.PARALLEL, sizes)
    ratio = benchmark.pedantic(lambda: race(stack, kernels, rounds=25), rounds=1)
    print(f"eight cuDNN LSTMs one by one / eight seeds of {cell} at once, replayed: {ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    save(f"captured-{cell}", "at least 2", ratio, predicted=2.0)


@gpu
def test_what_the_host_adds_to_a_replayed_step(benchmark) -> None:
    """A hundred steps as training takes them, against their replays alone."""
    sizes = Sizes(time=100, batch=32, hidden=128, device="cuda")
    budget, steps = sizes.task.budget, 100
    trainer = Trainer(
        sizes.model("ln_lstm", 0, Way.COMPILED),
        learning_rate=budget.learning_rate,
        clip=budget.clip,
    )
    plain = PlainCrew(trainer, sizes.task, 0, steps=MANY, clock=lambda: 0.0)
    crew = fastest(plain, recorder)
    replay = crew._replays.step  # noqa: SLF001 -- the device's share alone

    def replays() -> None:
        for _ in range(steps):
            replay()
        torch.cuda.synchronize()

    def training() -> None:
        for _ in range(steps):
            crew.step()
        torch.cuda.synchronize()

    ratio = benchmark.pedantic(lambda: race(replays, training, rounds=25), rounds=1)
    print(f"captured training / its replays alone, {steps} steps: {ratio}")
    benchmark.extra_info["ratio"] = str(ratio)
    save("captured-overhead", "at most 1.02", ratio, steps=steps, predicted=1.01)
