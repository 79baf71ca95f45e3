"""Denoising: the marked numbers, in their order, none of them lost."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.base import Vectors
from cellbench.generators.denoising import Denoising
from cellbench.generators.stream import Stream


def make(**settings):
    return Denoising(**{"items": 3, "length": 20, "gap": 8} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    rows = [[0.5, -1], [2.0, 0], [-1.0, -1], [0.25, 0], [3.0, -1], [0.0, 1]]
    answer = make(items=2, length=5, gap=0).oracle(torch.tensor(rows).unsqueeze(1))

    assert answer[:, 0].tolist() == [[0, 0]] * 5 + [[2.0, 0.25]]


def test_the_marked_numbers_are_asked_in_their_order() -> None:
    generator = make()
    batch = drawn(generator, 50)

    assert (generator.reads, generator.answers) == (Vectors(2), Vectors(3))
    assert batch.inputs.shape == (21, 50, 2)
    for inputs, targets in zip(batch.inputs.unbind(1), batch.targets.unbind(1), strict=True):
        marked = [number for number, mark in inputs.tolist() if mark == 0]
        assert len(marked) == 3
        assert targets[-1].tolist() == marked
        assert inputs[-1].tolist() == [0, 1]
        assert (inputs[12:20, 1] == -1).all()
        assert (targets[:-1] == 0).all()
    assert batch.scored.sum(0).tolist() == [1] * 50
    assert batch.scored[-1].all()
    assert torch.equal(batch.scored, batch.trained)


def test_every_step_before_the_gap_is_marked_equally_often() -> None:
    marks = (drawn(make(), 20_000).inputs[:, :, 1] == 0).sum(1)

    assert (marks[12:] == 0).all()
    assert chisquare(marks[:12]).pvalue > 1e-4


def test_without_memory_the_error_is_one() -> None:
    answers = drawn(make(), 20_000).targets[-1].double()

    assert make().trivial() == pytest.approx(1, abs=1e-6)
    assert abs(answers.square().mean() - 1) < 5 * (2 / 60_000) ** 0.5


def test_a_moved_mark_is_noticed() -> None:
    generator = make()
    batch = drawn(generator, 200)
    batch.inputs[:-1, :, 1] = batch.inputs[:-1, :, 1].roll(1, 0)

    assert (generator.oracle(batch.inputs)[-1] != batch.targets[-1]).any(1).all()


def test_it_may_be_longer() -> None:
    assert make().at_length(50) == make(length=50)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"items": 0}, "items must be a whole number of at least 1, not 0."),
        ({"length": 2}, "length must be a whole number of at least 3, not 2."),
        ({"gap": 18}, "gap must be a whole number from 0 to 17, not 18."),
        ({"gap": -1}, "gap must be a whole number from 0 to 17, not -1."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
