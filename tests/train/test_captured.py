"""Replayed training steps: what is learned is what is learned without them."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import pytest
import torch
from levels import TOKENS, VECTORS, Doubled, alone, assert_same, model_of, small, together
from tape import NoReads, TapeGraphs
from toy_cells import Plain, Raises

from cellbench.cells import CELLS
from cellbench.generators.adding import Adding
from cellbench.record import Status
from cellbench.train import draws
from cellbench.train.captured import CapturedCrew
from cellbench.train.crew import PlainCrew
from cellbench.train.loop import train
from cellbench.train.pages import Pages
from cellbench.train.stacked import train_stack
from cellbench.train.stacked_crew import StackedCrew
from cellbench.train.stacked_model import StackedModel
from cellbench.train.stacked_trainer import StackedTrainer
from cellbench.train.trainer import Trainer
from cellbench.unroll import Carrier

CPU = torch.device("cpu")


@pytest.fixture
def graphs() -> TapeGraphs:
    return TapeGraphs()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch) -> None:
    monkeypatch.setattr(draws, "MOST_STEPS", 4)


@pytest.mark.parametrize("delay", [0, 3, 100])
@pytest.mark.parametrize(
    ("name", "task"), [("hyperlstm", TOKENS), ("min_gru", VECTORS), ("lstm", TOKENS)]
)
def test_replayed_training_learns_the_same(name, task, delay, graphs) -> None:
    """Whether a look is read at once, some steps later, or when the next one is due."""
    graphs.delay = delay
    found = alone(CELLS[name], task, 3, recorder=lambda _: graphs, carrier=Carrier())

    assert found.how.captured
    assert graphs.replays == 14 + 4 + 3, "steps, pages, looks"
    assert_same(found, alone(CELLS[name], task, 3, carrier=Carrier()))


@pytest.mark.parametrize("delay", [0, 2, 100])
def test_what_is_left_is_what_was_seen(delay, graphs) -> None:
    """The level is solved; the steps that were taken before that was known are taken back."""
    graphs.delay = delay
    task = dataclasses.replace(TOKENS, solved=0.45)
    captured, plain = (model_of(Plain, task, 0) for _ in range(2))
    seed = {"seed": 0, "steps": 120, "clock": lambda: 0.0}
    found = train(captured, task, recorder=lambda _: graphs, **seed)
    right = train(plain, task, **seed)

    assert right.steps_to_solve < 120
    assert_same(found, right)
    for one, other in zip(captured.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@functools.cache
def trained_alone(seed: int):
    task = dataclasses.replace(TOKENS, solved=0.45)
    model = model_of(Plain, task, seed)
    return model, train(model, task, seed=seed, steps=120, clock=lambda: 0.0)


@pytest.mark.parametrize("delay", [0, 2, 100])
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_seeds_of_a_replayed_stack_end_each_in_its_time(turn, delay, graphs) -> None:
    """Wherever in the stack those are that end first, and leave a gap for some time."""
    graphs.delay = delay
    task = dataclasses.replace(TOKENS, solved=0.45)
    seeds = (*range(turn, 4), *range(turn))
    models = [model_of(Plain, task, seed) for seed in seeds]
    ends = train_stack(
        models, task, seeds=seeds, steps=120, clock=lambda: 0.0, recorder=lambda _: graphs
    )
    found = dict(ends)

    for seed, model in zip(seeds, models, strict=True):
        lone, right = trained_alone(seed)

        assert_same(found[seed], right)
        assert found[seed].how.captured
        for one, other in zip(model.parameters(), lone.parameters(), strict=True):
            torch.testing.assert_close(one, other)
    assert len(graphs.tapes) == 9, "recorded for four seeds, for two, and for one"


def crew_of(task, graphs, seeds=None) -> CapturedCrew:
    budget = task.budget
    settings = {"learning_rate": budget.learning_rate, "clip": budget.clip}
    length = {"steps": 100, "clock": lambda: 0.0}
    if seeds is None:
        trainer = Trainer(model_of(Plain, task, 0), **settings)
        return CapturedCrew(PlainCrew(trainer, task, 0, **length), graphs)
    models = [model_of(Plain, task, seed) for seed in seeds]
    stacked = StackedTrainer(StackedModel(models), **settings)
    return CapturedCrew(StackedCrew(stacked, task, seeds, models, **length), graphs)


@pytest.mark.parametrize("seeds", [None, (0, 1)])
@pytest.mark.parametrize("task", [TOKENS, VECTORS])
def test_between_two_looks_nothing_is_read_and_nothing_moves(task, seeds, graphs) -> None:
    crew = crew_of(task, graphs, seeds)
    trainer = crew.plain.trainer

    def places() -> list[int]:
        kept = [*trainer.model.parameters(), *trainer.state_tensors(), crew.plain.lost]
        return [tensor.data_ptr() for tensor in kept]

    before = places()
    with NoReads(graphs):
        for _ in range(11):
            crew.step()
        crew.look()
        crew.step()

    assert places() == before
    assert len(before) == 4 * (1 + len(list(trainer.model.parameters()))) - 3


def test_recording_leaves_everything_as_it_was(graphs) -> None:
    model, again = model_of(Plain, TOKENS, 0), model_of(Plain, TOKENS, 0)
    torch.manual_seed(7)
    trainer = Trainer(model, learning_rate=0.1, clip=1.0)
    crew = CapturedCrew(PlainCrew(trainer, TOKENS, 0, steps=50, clock=lambda: 0.0), graphs)
    drawn = torch.rand(3)
    torch.manual_seed(7)

    assert torch.equal(drawn, torch.rand(3))
    assert all(map(torch.equal, model.parameters(), again.parameters()))
    assert not any(state.any() for state in trainer.state_tensors())
    assert crew.plain.lost == 0


class AsksEarlierLater(Doubled):
    """Asks for the last step; of sequences from number 48 on, for the one before it as well."""

    def sample(self, stream, index):
        batch = super().sample(stream, index)
        more = batch.scored.clone()
        more[-2] |= index >= 48
        return dataclasses.replace(batch, scored=more, trained=more)


def test_what_is_asked_earlier_than_expected_is_not_missed(graphs) -> None:
    """Pages are of 4 steps of 8 sequences: on the second one more is asked."""
    inner = Adding(length=10, positions="any")
    task = dataclasses.replace(VECTORS, generator=AsksEarlierLater(inner))
    found = alone(Plain, task, 0, recorder=lambda _: graphs)

    assert_same(found, alone(Plain, task, 0))
    assert found.how.captured
    assert len(graphs.tapes) == 6, "recorded twice"


class Branches(Plain):
    """Asks a tensor what to do."""

    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return (y, state) if y.sum() > 0 else (-y, state)


def test_what_cannot_be_recorded_is_trained_as_before(graphs) -> None:
    found = alone(Branches, TOKENS, 0, recorder=lambda _: graphs)

    assert_same(found, alone(Branches, TOKENS, 0))
    assert not found.how.captured
    assert found.how.fallback.startswith("not captured: HostReadError: operation not permitted")
    assert not graphs.replays


def test_what_cannot_be_recorded_anew_goes_on_as_before(graphs) -> None:
    """The stack gets smaller, and then the recorder fails."""
    task = dataclasses.replace(TOKENS, solved=0.45)
    graphs.most = 3
    found = together(Plain, task, (0, 1, 2, 3), steps=120, recorder=lambda _: graphs)

    for seed, learned in found.items():
        assert_same(learned, alone(Plain, task, seed, steps=120))
    hows = [learned.how for learned in found.values()]
    assert [how.captured for how in hows] == [True, True, False, False]
    assert hows[-1].fallback == "not captured: RuntimeError: the tape is full"


def test_a_cell_that_fails_fails_as_it_does_unrecorded(graphs) -> None:
    task = small("copying/tiny", batch=64)
    with pytest.raises(ZeroDivisionError, match="one step too many"):
        alone(Raises, task, 0, recorder=lambda _: graphs)


def test_a_seed_that_diverges_does_not_touch_its_replayed_neighbours(graphs) -> None:
    class Poisoned(Plain):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            if torch.initial_seed() == 1:
                torch.nn.init.constant_(self.both.bias, torch.nan)

    found = together(Poisoned, TOKENS, (0, 1, 2), recorder=lambda _: graphs)

    assert found[1].status is Status.DIVERGED
    for seed in (0, 1, 2):
        assert_same(found[seed], alone(Poisoned, TOKENS, seed))


def test_recording_is_compiling_and_not_training(graphs) -> None:
    ticks = itertools.count()
    found = alone(Plain, TOKENS, 0, recorder=lambda _: graphs, clock=lambda: float(next(ticks)))

    assert found.how.compile_s >= 1.0
    assert found.train_s == alone(Plain, TOKENS, 0, clock=lambda: float(next(ticks))).train_s


def test_a_short_training_is_not_worth_recording(graphs) -> None:
    found = alone(Plain, TOKENS, 0, steps=9, recorder=lambda _: graphs)

    assert not found.how.captured
    assert not found.how.fallback
    assert not graphs.tapes


def test_nothing_is_recorded_where_there_are_no_graphs() -> None:
    found = alone(Plain, TOKENS, 0)

    assert not found.how.captured
    assert not found.how.fallback


@pytest.mark.parametrize("first", [0, 5])
def test_pages_are_the_batches_of_training(first) -> None:
    generator = TOKENS.generator
    stream = draws.Stream(7, "train")
    pages = Pages(generator, stream, 8, CPU, first=first, start=None)
    batches = draws.TrainingBatches(generator, stream, 8, CPU, first=first)
    for _ in range(3):
        pages.turn()
        for _ in range(pages.steps):
            found, right = pages.take(), next(batches)

            assert found.start == right.start
            assert torch.equal(found.inputs, right.inputs)
            assert torch.equal(found.targets, right.targets)
            assert torch.equal(found.trained, right.trained)


def test_a_replayed_step_has_the_learning_rate_that_was_asked_for(graphs) -> None:
    given = {"learning_rate": 0.05, "carrier": Carrier()}
    found = alone(CELLS["lstm"], TOKENS, 3, recorder=lambda _: graphs, **given)

    assert found.how.captured
    assert_same(found, alone(CELLS["lstm"], TOKENS, 3, **given))
    assert_same(
        together(CELLS["lstm"], TOKENS, (1, 3), recorder=lambda _: TapeGraphs(), **given)[3], found
    )
