"""What holds for every generator, told by every task that ships."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import re
import textwrap
from typing import get_type_hints

import msgspec
import pytest
import torch

import cellbench.generators
from cellbench.catalog import load_tasks
from cellbench.generators import GENERATORS
from cellbench.generators.adding import Adding
from cellbench.generators.base import Bits, Fields, Generator, Odds, Sets, Tokens
from cellbench.generators.copying import Copying
from cellbench.generators.drawing import as_text, drawing
from cellbench.generators.stream import SPLITS, Stream
from cellbench.train.baselines.position_only import position_only

TASKS = load_tasks()
EASIEST = {task.family: task for task in reversed(TASKS.values())}  # one level a family
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
every_family = pytest.mark.parametrize("task", EASIEST.values(), ids=list(EASIEST))


def parts(batch):
    found = (batch.inputs, batch.targets, batch.scored, batch.trained)
    return found if batch.optimum is None else (*found, batch.optimum)


def rows(batch):
    """Return what makes each sequence itself, one hashable value a sequence."""
    return [column.numpy().tobytes() for column in batch.inputs.unbind(dim=1)]


def fits(tensor, space, shape):
    if isinstance(space, Fields):
        columns = tensor.unbind(-1)
        of_one = (Tokens(size) for size in space.sizes)
        return all(fits(c, one, shape) for c, one in zip(columns, of_one, strict=True))
    if isinstance(space, Tokens | Odds):
        return (
            tensor.dtype == torch.int64
            and tensor.shape == shape
            and int(tensor.min()) >= 0
            and int(tensor.max()) < space.size
        )
    whole = isinstance(space, Bits | Sets)
    return (
        tensor.dtype == torch.float32
        and tensor.shape == (*shape, space.size)
        and bool(tensor.isfinite().all())
        and (not whole or bool(((tensor == 0) | (tensor == 1)).all()))
    )


@every_task
def test_the_oracle_is_right_wherever_it_is_scored(task) -> None:
    batch = task.generator.sample(Stream(0, "test"), torch.arange(16))
    targets = task.generator.oracle(batch.inputs)

    assert batch.scored.any(dim=0).all()
    if batch.optimum is None:
        assert torch.equal(targets[batch.scored], batch.targets[batch.scored])
        return
    assert torch.allclose(targets.exp().sum(-1), torch.ones(()), atol=1e-5)
    nats = -targets.gather(-1, batch.targets.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(nats[batch.scored], batch.optimum[batch.scored], atol=1e-5)


@every_task
def test_a_batch_is_what_the_generator_says(task) -> None:
    batch = task.generator.sample(Stream(0, "train"), torch.arange(16))
    shape = batch.scored.shape

    assert fits(batch.inputs, task.generator.reads, shape)
    assert fits(batch.targets, task.generator.answers, shape)
    assert batch.trained.shape == shape
    assert shape[1] == 16
    assert (batch.trained | ~batch.scored).all()  # what is scored is learned


@every_family
def test_a_sequence_does_not_depend_on_its_batch(task) -> None:
    """The same for any batch size, order, and number of workers that share the work."""
    stream, index = Stream(5, "train"), torch.arange(30)
    whole = parts(task.generator.sample(stream, index))
    order = index.flip(0)

    for size in (1, 7, 30):
        pieces = [parts(task.generator.sample(stream, some)) for some in index.split(size)]
        joined = [torch.cat(piece, dim=1) for piece in zip(*pieces, strict=True)]
        assert all(torch.equal(one, two) for one, two in zip(joined, whole, strict=True))
    backwards = parts(task.generator.sample(stream, order))
    assert all(torch.equal(one, two[:, order]) for one, two in zip(backwards, whole, strict=True))
    for workers in (2, 8):
        shares = [rows(task.generator.sample(stream, index[n::workers])) for n in range(workers)]
        assert {row for share in shares for row in share} == set(
            rows(task.generator.sample(stream, index))
        )


COUNT = 1000

SMALL = {
    "counted_stream", "counters", "latch-fixed",  # there are no more strings than that
    "binary_addition", "binary_multiplication", "bracketed_arithmetic", "digit_addition",
    "ntm_copy", "repeat_copy", "solve_equation", "square_root", "stack_manipulation", "tomita",
    # some sequences of a mixture of lengths are short
    "dynamic_ngrams",  # some tables say the same bit at every step
}  # fmt: skip
"""Families, or what stands before the variant, in which chance meetings are no rarity."""

BIGGEST = {
    family: [
        task
        for task in TASKS.values()
        if task.family == family
        and len(task.generator.sample(Stream(0, "train"), torch.arange(1)).inputs) <= 300
    ][-1]
    for family in EASIEST
}


def drawn(task, split, first=0):
    index = torch.arange(first, first + COUNT)
    return set(rows(task.generator.sample(Stream(0, split), index)))


@pytest.mark.parametrize("task", BIGGEST.values(), ids=lambda task: task.id)
def test_splits_meet_no_more_than_chance_has_it(task) -> None:
    """Where there is room, never: no test sequence is one that was learned from, or chosen by."""
    train, validation, test = (drawn(task, split) for split in SPLITS)
    meetings = max(len(train & test), len(train & validation), len(validation & test))
    if {task.family, task.family.partition("-")[0]} & SMALL:
        assert meetings <= 2 * len(train & drawn(task, "train", COUNT)) + 10
    else:
        assert meetings == 0


LARGE = [  # spaces in which a chance meeting is one in millions
    TASKS[name]
    for name in ("copying/delay-10", "copying-tcn/delay-10", "adding/length-10", "mqar/pairs-8")
]


def overlap(generator, one, other):
    """Return how many of the first 4,000 sequences of two streams are the same."""
    index = torch.arange(4000)
    return len(set(rows(generator.sample(one, index))) & set(rows(generator.sample(other, index))))


@pytest.mark.parametrize("task", LARGE, ids=lambda task: task.id)
def test_sequences_drawn_from_the_wrong_split_would_be_noticed(task) -> None:
    """Else the test above could not fail."""
    assert overlap(task.generator, Stream(0, "train"), Stream(0, "train")) == 4000


@pytest.mark.parametrize("task", LARGE, ids=lambda task: task.id)
def test_no_sequence_comes_twice(task) -> None:
    drawn = rows(task.generator.sample(Stream(0, "train"), torch.arange(20_000)))

    assert len(set(drawn)) == 20_000


@every_family
def test_global_randomness_is_neither_read_nor_moved(task) -> None:
    index = torch.arange(8)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn = parts(task.generator.sample(Stream(0, "train"), index))
    after = torch.get_rng_state()
    torch.manual_seed(1)
    again = parts(task.generator.sample(Stream(0, "train"), index))

    assert torch.equal(before, after)
    assert all(torch.equal(one, two) for one, two in zip(drawn, again, strict=True))


@every_family
def test_nothing_is_asked_of_the_device(task) -> None:
    """On `meta` there are no values: reading one, or looping over the batch, would fail."""
    batch = task.generator.sample(Stream(0, "train"), torch.arange(8, device="meta"))

    assert {part.device.type for part in parts(batch)} == {"meta"}


@every_family
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_sequences_are_the_same_on_cuda(task) -> None:
    index = torch.arange(100)
    here = task.generator.sample(Stream(3, "train"), index)
    there = task.generator.sample(Stream(3, "train"), index.cuda())

    exact = ("inputs", "targets", "scored", "trained")
    answers = [task.generator.oracle(batch.inputs).cpu()[here.scored] for batch in (here, there)]

    assert all(torch.equal(getattr(here, name), getattr(there, name).cpu()) for name in exact)
    if here.optimum is None:
        assert torch.equal(answers[1], here.targets[here.scored])
    else:  # logarithms: the last bit may differ
        assert torch.allclose(here.optimum, there.optimum.cpu(), rtol=1e-5, atol=1e-5)
        assert torch.allclose(*answers, rtol=1e-5, atol=1e-5)


@every_family
@pytest.mark.parametrize("split", SPLITS)
def test_every_level_can_be_drawn_in_one_process(task, split) -> None:
    """A generator that uses something up would fail at the second length."""
    levels = [other.generator for other in TASKS.values() if other.family == task.family]
    lengths = {len(g.sample(Stream(0, split), torch.arange(2)).inputs) for g in levels}

    assert len(levels) >= 3
    assert len(lengths) >= 3


@every_family
def test_the_trivial_score_is_reached_and_not_beaten_without_seeing_an_input(task) -> None:
    """The best predictor that knows only where it is asked, fitted on training sequences."""
    generator = task.generator
    found = [position_only(generator, seed, fitted_on=8192, tested_on=2048) for seed in range(4)]
    mean = sum(found) / len(found)
    spread = (sum((one - mean) ** 2 for one in found) / (len(found) - 1)) ** 0.5
    unit = abs(task.perfect - task.trivial)

    assert mean == pytest.approx(task.trivial, abs=max(3 * spread, 0.01 * unit))
    assert spread < 0.05 * unit


@every_task
def test_the_ladder_can_be_drawn(task) -> None:
    for length in task.ladder[:3]:
        batch = task.generator.at_length(length).sample(Stream(0, "test"), torch.arange(4))

        assert batch.scored.any(dim=0).all()


def drawings():
    """Yield every drawing of a docstring that says which sequence it is."""
    says = re.compile(
        r"With ([^:]+?),?\s+sequence (\d+) of\s+the\s+training\s+stream:\n\n((?: {4}.*\n)+)"
    )
    for name, kind in GENERATORS.items():
        text = (inspect.getdoc(kind) or "") + "\n"
        for settings, place, drawn in says.findall(text):
            yield pytest.param(kind, settings, int(place), drawn, id=f"{name}-{settings}-{place}")


DRAWINGS = list(drawings())


@pytest.mark.parametrize(("kind", "settings", "place", "drawn"), DRAWINGS)
def test_it_looks_as_drawn_in_its_docstring(kind, settings, place, drawn) -> None:
    given = dict(one.split("=") for one in re.split(r",\s+", settings))
    types = get_type_hints(kind)
    generator = kind(**{k: msgspec.convert(v, types[k], strict=False) for k, v in given.items()})
    batch = generator.sample(Stream(0, "train"), torch.tensor([place]))

    assert textwrap.dedent(drawn).rstrip() == as_text(drawing(generator, batch, 0))


@pytest.mark.parametrize("kind", GENERATORS.values(), ids=list(GENERATORS))
def test_every_generator_has_a_drawing(kind) -> None:
    """Two have one of several layouts, held by a test of their own."""
    drawn = {param.values[0] for param in DRAWINGS}

    assert kind in drawn | {Adding, Copying}


@pytest.mark.parametrize("kind", GENERATORS.values(), ids=list(GENERATORS))
def test_settings_are_all_of_a_generator(kind) -> None:
    """Frozen, no defaults (they stand in the task file, once), and a docstring for each."""
    assert issubclass(kind, Generator)
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    for one in dataclasses.fields(kind):
        assert one.default is dataclasses.MISSING
        assert f"    {one.name}: " in kind.__doc__
    for part in ("Source:", "Differs from it:", "Attributes:"):
        assert part in kind.__doc__


@every_family
def test_a_generator_travels_to_another_process(task) -> None:
    assert pickle.loads(pickle.dumps(task.generator)) == task.generator  # noqa: S301 -- our own


def test_every_generator_file_is_in_the_table() -> None:
    """A generator that nobody can ask for is a generator that nobody tests."""
    package = cellbench.generators
    files = [f"{package.__name__}.{one.name}" for one in pkgutil.iter_modules(package.__path__)]
    found = {
        (name.rpartition(".")[2], kind)
        for name in files
        for kind in vars(importlib.import_module(name)).values()
        if isinstance(kind, type) and issubclass(kind, Generator) and kind.__module__ == name
    }

    assert found - {("base", Generator)} == set(GENERATORS.items())
