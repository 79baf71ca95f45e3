"""What holds for every generator, told by every task that ships."""

from __future__ import annotations

import dataclasses
import pickle
import pkgutil

import pytest
import torch

import cellbench.generators
from cellbench.catalog import load_tasks
from cellbench.generators import GENERATORS
from cellbench.generators.base import Generator, Tokens
from cellbench.generators.stream import SPLITS, Stream

TASKS = load_tasks()
EASIEST = {task.family: task for task in reversed(TASKS.values())}  # one level a family
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
every_family = pytest.mark.parametrize("task", EASIEST.values(), ids=list(EASIEST))


def parts(batch):
    return (batch.inputs, batch.targets, batch.scored, batch.trained)


def rows(batch):
    """Return what makes each sequence itself, one hashable value a sequence."""
    return [column.numpy().tobytes() for column in batch.inputs.unbind(dim=1)]


def fits(tensor, space, shape):
    if isinstance(space, Tokens):
        return (
            tensor.dtype == torch.int64
            and tensor.shape == shape
            and int(tensor.min()) >= 0
            and int(tensor.max()) < space.size
        )
    return tensor.dtype == torch.float32 and tensor.shape == (*shape, space.size)


@every_task
def test_the_oracle_is_right_wherever_it_is_scored(task) -> None:
    batch = task.generator.sample(Stream(0, "test"), torch.arange(16))
    targets = task.generator.oracle(batch.inputs)

    assert batch.scored.any(dim=0).all()
    assert torch.equal(targets[batch.scored], batch.targets[batch.scored])


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


def overlap(generator, one, other):
    """Return how many of the first 4,000 sequences of two streams are the same."""
    index = torch.arange(4000)
    return len(set(rows(generator.sample(one, index))) & set(rows(generator.sample(other, index))))


LARGE = [  # spaces in which a chance meeting is one in millions
    TASKS[name] for name in ("copying/delay-10", "copying-tcn/delay-10", "adding/length-10")
]


@pytest.mark.parametrize("task", LARGE, ids=lambda task: task.id)
@pytest.mark.parametrize(
    ("one", "other"), [("train", "validation"), ("train", "test"), ("validation", "test")]
)
def test_no_sequence_is_in_two_splits(task, one, other) -> None:
    assert overlap(task.generator, Stream(0, one), Stream(0, other)) == 0


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

    assert all(
        torch.equal(one, two.cpu()) for one, two in zip(parts(here), parts(there), strict=True)
    )
    assert torch.equal(task.generator.oracle(there.inputs).cpu(), here.targets)


@every_family
@pytest.mark.parametrize("split", SPLITS)
def test_every_level_can_be_drawn_in_one_process(task, split) -> None:
    """A generator that uses something up would fail at the second length."""
    levels = [other.generator for other in TASKS.values() if other.family == task.family]
    lengths = {len(g.sample(Stream(0, split), torch.arange(2)).inputs) for g in levels}

    assert len(levels) >= 3
    assert len(lengths) == len(levels)


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
    shared = {"base", "stream"}
    found = {module.name for module in pkgutil.iter_modules(cellbench.generators.__path__)}

    assert found - shared == set(GENERATORS)
