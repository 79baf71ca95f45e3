"""The training loop, on levels that take milliseconds and by a clock that moves when told."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import pytest
import torch
from toy_cells import NotANumber, Plain, WrongShape

from cellbench.catalog import find_task
from cellbench.cells.lstm import LSTM
from cellbench.generators.base import Generator
from cellbench.record import Status
from cellbench.train.draws import training_batches
from cellbench.train.loop import Trainer, evaluate, train
from cellbench.train.model import CellShapeError, OneHot, SequenceModel

TINY = find_task("copying/tiny")


def model_of(make, task=TINY, seed: int = 0) -> SequenceModel:
    torch.manual_seed(seed)
    return SequenceModel(make, task.generator.reads, task.generator.answers, 32)


def run(make, task=TINY, *, steps: int = 400, seed: int = 0, clock=lambda: 0.0, **more):
    return train(model_of(make, task, seed), task, seed=seed, steps=steps, clock=clock, **more)


def slow(**changes):
    """Return the tiny level with a budget in which nothing is solved."""
    changes = {"learning_rate": 1e-4} | changes
    return dataclasses.replace(TINY, budget=dataclasses.replace(TINY.budget, **changes))


class Spy(Generator):
    """Draws what another draws, and writes down which sequences of which split."""

    def __init__(self, inner: Generator) -> None:
        self.inner = inner
        self.drawn: dict[str, Counter[int]] = {"train": Counter(), "validation": Counter()}
        self.drawn["test"] = Counter()

    reads = property(lambda self: self.inner.reads)
    answers = property(lambda self: self.inner.answers)

    def sample(self, stream, index):
        self.drawn[stream.split].update(index.tolist())
        return self.inner.sample(stream, index)

    def trivial(self):
        return self.inner.trivial()

    def oracle(self, inputs):
        return self.inner.oracle(inputs)


def test_an_lstm_learns_a_tiny_level_and_stops() -> None:
    learned = run(LSTM)

    assert learned.status is Status.OK
    assert learned.steps_to_solve == learned.steps == learned.curve[-1].step < 400
    assert learned.curve[-1].metric >= TINY.solved
    assert learned.test.metric > 0.97
    assert learned.test.exact_rate > 0.9


def test_validation_and_test_are_never_drawn_from_the_training_split() -> None:
    spy = Spy(TINY.generator)
    task = dataclasses.replace(slow(), generator=spy)
    run(Plain, task, steps=100)
    budget = TINY.budget

    assert set(spy.drawn["train"].values()) == {1}, "a training sequence came twice"
    assert min(spy.drawn["train"]) == 0
    assert len(spy.drawn["train"]) >= 100 * budget.batch
    assert spy.drawn["validation"] == Counter(dict.fromkeys(range(budget.validation), 2))
    assert spy.drawn["test"] == Counter(dict.fromkeys(range(budget.test), 1)), "read once"


def test_how_often_it_looks_changes_nothing_that_is_learned() -> None:
    often = run(Plain, slow(validate_every=10), steps=60)
    seldom = run(Plain, slow(validate_every=60), steps=60)

    assert len(often.curve) == 6
    assert often.test == seldom.test


def test_a_seed_decides_everything() -> None:
    first, second, other = (run(Plain, steps=60, seed=seed) for seed in (5, 5, 6))

    assert first.test == second.test
    assert first.curve == second.curve
    assert first.test != other.test


def test_the_last_step_is_looked_at_even_off_the_beat() -> None:
    learned = run(Plain, slow(validate_every=50), steps=70)

    assert [point.step for point in learned.curve] == [50, 70]


def test_the_training_loss_is_the_mean_since_the_last_look() -> None:
    """Looking every step gives each loss; looking every other step gives their means."""
    every = run(Plain, slow(validate_every=1), steps=6)
    other = run(Plain, slow(validate_every=2), steps=6)
    losses = [point.train_loss for point in every.curve]
    means = [(losses[n] + losses[n + 1]) / 2 for n in (0, 2, 4)]

    assert [point.train_loss for point in other.curve] == pytest.approx(means, rel=1e-5)


def test_nan_ends_a_trial_as_diverged() -> None:
    learned = run(NotANumber, steps=100)

    assert learned.status is Status.DIVERGED
    assert learned.steps == TINY.budget.validate_every
    assert "the training loss became nan" in learned.reason
    assert learned.curve[-1].metric is None
    assert learned.curve[-1].train_loss is None
    assert learned.test is None


def test_time_is_up_when_the_clock_says_so() -> None:
    ticks = itertools.count()
    learned = run(Plain, steps=400, clock=lambda: float(next(ticks)), time_limit_s=20.0)

    assert learned.status is Status.TIMEOUT
    assert 15 <= learned.steps <= 21
    assert "20 s were over after" in learned.reason
    assert learned.test is not None, "what was learned in time is still reported"


def test_a_cell_of_the_wrong_shape_is_told_so() -> None:
    with pytest.raises(CellShapeError, match=r"shape \[6, 64, 33\].* is \[6, 64, 32\] here"):
        run(WrongShape)


def test_the_gradient_is_clipped_after_it_is_computed() -> None:
    model = model_of(Plain)
    trainer = Trainer(model, learning_rate=0.0, clip=1e-3)
    question = next(training_batches(TINY.generator, 0, 64, torch.device("cpu")))
    trainer.step(question)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])

    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_evaluation_learns_nothing() -> None:
    model = model_of(LSTM)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, TINY, 0, "test", 64)

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training


def test_few_tokens_are_one_hot_and_many_are_embedded() -> None:
    few = model_of(LSTM)
    ids = torch.tensor([[0, 3]])

    assert isinstance(few.embedding, OneHot)
    assert few.embedding(ids)[0, 1].tolist() == [0, 0, 0, 1, 0, 0]
    assert not list(few.embedding.parameters())

    task = dataclasses.replace(TINY, generator=dataclasses.replace(TINY.generator, alphabet=100))

    assert model_of(LSTM, task).embedding.weight.shape == (102, 32)
