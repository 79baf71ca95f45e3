"""Adding: as drawn, marked fairly, and worth 1/6 to who ignores the input."""

from __future__ import annotations

import inspect
import math
import re

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.adding import POSITIONS, Adding
from cellbench.generators.base import Vectors
from cellbench.generators.stream import Stream


def sample(length, positions, sequences, split="train"):
    generator = Adding(length=length, positions=positions)
    return generator, generator.sample(Stream(0, split), torch.arange(sequences))


def marked(batch):
    """Return the two marked steps of each sequence, the earlier first."""
    return batch.inputs[:, :, 1].T.nonzero()[:, 1].view(-1, 2).T


def is_fair(values, bins):
    expected = len(values) / bins
    counts = torch.bincount(values, minlength=bins).double()
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    return len(counts) == bins and statistic < bins - 1 + 5 * math.sqrt(2 * (bins - 1))


def test_the_drawing_in_its_docstring_is_true() -> None:
    text = inspect.getdoc(Adding) or ""
    rows = dict(re.findall(r"^ {4}(input \d|target)\D*? {2,}((?:[-.\d]+ *)+)", text, re.MULTILINE))
    numbers, marks = ([float(n) for n in rows[f"input {n}"].split()] for n in (0, 1))
    target = rows["target"].split()
    inputs = torch.tensor([numbers, marks]).T.unsqueeze(1)

    answer = Adding(length=6, positions="halves").oracle(inputs)
    _, batch = sample(6, "halves", 5000)

    assert target[:-1] == ["-"] * 5
    assert answer[-1].item() == float(target[-1])
    assert batch.scored.T.unique(dim=0).tolist() == [[t != "-" for t in target]]
    assert marks in batch.inputs[:, :, 1].T.tolist()


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("length", [2, 3, 50, 51])
def test_two_marks_numbers_below_one_and_a_sum_at_the_end(positions, length) -> None:
    generator, batch = sample(length, positions, 200)
    numbers, marks = batch.inputs.unbind(dim=2)

    assert batch.inputs.shape == (length, 200, 2)
    assert batch.targets.shape == (length, 200, 1)
    assert (generator.reads, generator.answers) == (Vectors(2), Vectors(1))
    assert ((marks == 0) | (marks == 1)).all()
    assert (marks.sum(dim=0) == 2).all()
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    assert batch.scored.sum(dim=0).tolist() == [1] * 200
    assert batch.scored[-1].all()
    assert torch.equal(batch.trained, batch.scored)
    assert (batch.targets[:-1] == 0).all()


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("length", [2, 51, 400])
def test_the_oracle_is_exact(positions, length) -> None:
    generator, batch = sample(length, positions, 500, "test")

    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


@pytest.mark.parametrize("step", [0, 1])
def test_a_missing_mark_is_noticed(step) -> None:
    generator, batch = sample(40, "halves", 500)
    batch.inputs[:, :, 1].scatter_(0, marked(batch)[step : step + 1], 0.0)

    assert (generator.oracle(batch.inputs)[-1] != batch.targets[-1]).float().mean() > 0.99


@pytest.mark.parametrize("length", [10, 11])
def test_halves_has_one_fair_mark_in_each_half(length) -> None:
    first, second = marked(sample(length, "halves", 20_000)[1])
    half = length // 2

    assert first.max() < half <= second.min()
    assert is_fair(first, half)
    assert is_fair(second - half, length - half)
    assert is_fair(first * (length - half) + second - half, half * (length - half))


@pytest.mark.parametrize("length", [5, 8])
def test_any_marks_every_pair_of_steps_equally_often(length) -> None:
    first, second = marked(sample(length, "any", 20_000)[1])
    pairs = second * (second - 1) // 2 + first

    assert is_fair(pairs, length * (length - 1) // 2)
    assert (second - first).min() == 1


def test_numbers_are_uniform_and_the_marks_do_not_show_in_them() -> None:
    generator, batch = sample(10, "halves", 20_000)
    numbers, marks = batch.inputs.unbind(dim=2)

    assert is_fair((numbers.flatten() * 32).long(), 32)
    assert is_fair((numbers[marks == 1] * 32).long(), 32)
    assert generator.trivial() == 1 / 6


@pytest.mark.parametrize("positions", POSITIONS)
def test_without_memory_the_error_is_a_sixth(positions) -> None:
    """The mean target, fitted on training sequences, told on test ones."""
    generator, learned = sample(20, positions, 20_000)
    _, told = sample(20, positions, 20_000, "test")
    guess = learned.targets[-1].double().mean()
    errors = (told.targets[-1].double() - guess).square()

    assert abs(guess.item() - 1) < 5 * math.sqrt(1 / 6 / 20_000)
    assert abs(errors.mean().item() - generator.trivial()) < 5 * errors.std().item() / math.sqrt(
        20_000
    )


def test_where_the_marks_are_changes_the_marks_only() -> None:
    halves, anywhere = (sample(20, positions, 50)[1] for positions in POSITIONS)

    assert torch.equal(halves.inputs[:, :, 0], anywhere.inputs[:, :, 0])
    assert not torch.equal(halves.inputs[:, :, 1], anywhere.inputs[:, :, 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        ({"length": True}, "length must be a whole number of at least 2, not True."),
        (
            {"positions": "half"},
            "positions must be one of halves, any, not 'half'; did you mean 'halves'?",
        ),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        Adding(**{"length": 10, "positions": "halves"} | settings)

    assert str(caught.value) == message
