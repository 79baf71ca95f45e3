"""Copy first: the first number at the last step, and nothing before."""

from __future__ import annotations

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.base import Vectors
from cellbench.generators.copy_first import CopyFirst
from cellbench.generators.stream import Stream


def drawn(length, sequences):
    return CopyFirst(length=length).sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    answer = CopyFirst(length=4).oracle(torch.tensor([0.5, -1.0, 2.0, 0.25]).view(4, 1, 1))

    assert answer.flatten().tolist() == [0, 0, 0, 0.5]


@pytest.mark.parametrize("length", [2, 5, 600])
def test_the_first_number_is_asked_at_the_end(length) -> None:
    batch = drawn(length, 50)

    assert batch.inputs.shape == batch.targets.shape == (length, 50, 1)
    assert torch.equal(batch.targets[-1], batch.inputs[0])
    assert (batch.targets[:-1] == 0).all()
    assert batch.scored.sum(0).tolist() == [1] * 50
    assert batch.scored[-1].all()
    assert torch.equal(batch.scored, batch.trained)


def test_without_memory_the_error_is_one() -> None:
    answers = drawn(3, 50_000).targets[-1].double()

    assert CopyFirst(length=3).trivial() == pytest.approx(1, abs=1e-6)
    assert abs(answers.mean()) < 5 / 50_000**0.5
    assert abs(answers.square().mean() - 1) < 5 * (2 / 50_000) ** 0.5


def test_the_last_number_says_nothing_of_the_first() -> None:
    inputs = drawn(3, 50_000).inputs

    assert abs((inputs[0] * inputs[2]).mean()) < 5 / 50_000**0.5


def test_it_may_be_longer() -> None:
    assert CopyFirst(length=5).at_length(600) == CopyFirst(length=600)
    assert CopyFirst(length=5).reads == CopyFirst(length=5).answers == Vectors(1)


def test_settings_are_checked() -> None:
    with pytest.raises(
        OptionError, match=r"^length must be a whole number of at least 2, not 1\.$"
    ):
        CopyFirst(length=1)
