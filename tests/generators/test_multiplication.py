"""Multiplication: the product of two marked numbers, and .0577 without memory."""

from __future__ import annotations

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.adding_hs97 import AddingHS97
from cellbench.generators.multiplication import Multiplication
from cellbench.generators.stream import Stream


def sample(length, count, split="train"):
    generator = Multiplication(length=length)
    return generator, generator.sample(Stream(0, split), torch.arange(count))


def test_a_sequence_worked_out_by_hand() -> None:
    numbers = [0.5, 0.25, 0.75, 0.5, 0.5, 0.0]
    marks = [-1.0, 1.0, 0.0, 1.0, -1.0, 0.0]
    inputs = torch.tensor([numbers, marks]).T.unsqueeze(1)

    targets = Multiplication(length=12).oracle(inputs).flatten().tolist()

    assert targets == [0, 0, 0, 0, 0.125, 0]


@pytest.mark.parametrize("length", [11, 30, 100])
def test_each_target_is_the_product_of_what_is_marked(length) -> None:
    _, batch = sample(length, 300)
    ones = 0
    for column in range(300):
        pairs = batch.inputs[:, column].tolist()
        end = max(step for step, (_, mark) in enumerate(pairs) if mark == -1)
        first, second = (number for number, mark in pairs if mark == 1)
        assert length - 1 <= end < length + length // 10
        assert batch.scored[:, column].nonzero().flatten().tolist() == [end]
        assert batch.targets[end, column].item() == pytest.approx(first * second, abs=1e-6)
        assert all(0 <= number < 1 for number, _ in pairs[1:])
        ones += pairs[0] == [1, 1]
    assert ones > 0


def test_without_memory_the_error_is_that_of_the_published_rule() -> None:
    """1/9 - 1/16 where X1 is not the first pair; .0577 with the rule, as drawn."""
    generator, batch = sample(100, 60_000)
    targets = batch.targets.squeeze(2).sum(0).double()
    ones = (batch.inputs[0] == 1).all(1)

    assert generator.trivial() == pytest.approx(0.9 / 9 + 0.1 / 3 - 0.275**2, abs=1e-12)
    assert ones.double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert targets[~ones].var().item() == pytest.approx(0.048611, rel=0.03)
    assert targets.mean().item() == pytest.approx(0.275, abs=0.005)
    assert targets.var().item() == pytest.approx(generator.trivial(), rel=0.03)


def test_marks_are_those_of_adding() -> None:
    _, batch = sample(40, 100)
    other = AddingHS97(length=40).sample(Stream(0, "train"), torch.arange(100))

    assert torch.equal(batch.inputs[:, :, 1], other.inputs[:, :, 1])
    assert not torch.equal(batch.targets, other.targets)


def test_the_oracle_is_exact_and_a_missing_mark_is_noticed() -> None:
    generator, batch = sample(50, 500, "test")
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)

    batch.inputs[:, :, 1].clamp_(max=0)
    assert (generator.oracle(batch.inputs)[batch.scored] == 1).all()
    assert generator.at_length(70) == Multiplication(length=70)


@pytest.mark.parametrize("length", [10, True])
def test_settings_are_checked(length) -> None:
    with pytest.raises(OptionError) as caught:
        Multiplication(length=length)

    assert str(caught.value) == f"length must be a whole number of at least 11, not {length!r}."
