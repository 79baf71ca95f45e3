"""Induction heads: one special token before the last step, and what came after it."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.catalog import find_task
from cellbench.errors import OptionError
from cellbench.generators.induction_heads import InductionHeads
from cellbench.generators.stream import Stream


def make(**settings):
    return InductionHeads(**{"length": 10, "alphabet": 5, "loss": "answer"} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    answer = make(length=6).oracle(torch.tensor([[3, 1, 0, 4, 2, 0]]).T)

    assert answer.flatten().tolist() == [1, 0, 4, 2, 0, 4]


@pytest.mark.parametrize("length", [3, 4, 10])
def test_it_is_what_a_loop_makes_of_it(length) -> None:
    batch = drawn(make(length=length), 100)

    for row, target in zip(batch.inputs.T.tolist(), batch.targets.T.tolist(), strict=True):
        assert row[-1] == 0
        assert row[:-2].count(0) == 1
        assert row[-2] != 0
        assert target == [*row[1:], row[row.index(0) + 1]]
    assert batch.scored.sum(dim=0).tolist() == [1] * 100
    assert batch.scored[-1].all()


def test_every_place_and_every_answer_is_equally_likely() -> None:
    batch = drawn(make(), 16_000)
    place = (batch.inputs == 0).int().argmax(dim=0)

    assert chisquare(torch.bincount(place, minlength=8).tolist()).pvalue > 0.001
    assert place.max() == 7
    assert chisquare(torch.bincount(batch.targets[-1])[1:].tolist()).pvalue > 0.001
    assert make().trivial() == 1 / 5


def test_the_loss_looks_where_it_is_told() -> None:
    answer, everywhere = drawn(make(), 8), drawn(make(loss="all"), 8)

    assert torch.equal(answer.trained, answer.scored)
    assert everywhere.trained.all()
    assert torch.equal(everywhere.scored, answer.scored)


def test_the_longest_length_of_the_ladder_can_be_drawn() -> None:
    task = find_task("induction_heads/long")
    generator = task.generator.at_length(task.ladder[-1])
    batch = drawn(generator, 1)

    assert len(batch.inputs) == 2**20
    assert generator.oracle(batch.inputs)[-1] == batch.targets[-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 2}, "length must be a whole number of at least 3, not 2."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
        ({"loss": "last"}, "loss must be one of answer, all, not 'last'."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
