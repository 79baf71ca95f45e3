"""Repeat previous: what was shown `lag` steps ago, from the first step that has it."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.base import Tokens
from cellbench.generators.repeat_previous import RepeatPrevious
from cellbench.generators.stream import Stream


def make(**settings):
    return RepeatPrevious(**{"length": 40, "lag": 7, "alphabet": 4} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    answer = make(length=5, lag=2).oracle(torch.tensor([[3], [1], [0], [2], [2]]))

    assert answer.flatten().tolist() == [0, 0, 3, 1, 0]


@pytest.mark.parametrize("lag", [1, 7, 39])
def test_each_answer_was_shown_so_many_steps_ago(lag) -> None:
    generator = make(lag=lag)
    batch = drawn(generator, 50)

    assert generator.reads == generator.answers == Tokens(4)
    for step in range(40):
        assert batch.scored[step].all() == (step >= lag)
        assert batch.scored[step].any() == (step >= lag)
        shown = batch.inputs[step - lag] if step >= lag else torch.zeros(50).long()
        assert torch.equal(batch.targets[step], shown)
    assert torch.equal(batch.scored, batch.trained)


def test_symbols_are_drawn_with_equal_odds_and_not_from_a_deck() -> None:
    inputs = drawn(make(length=2, lag=1), 20_000).inputs

    assert chisquare((inputs[0] * 4 + inputs[1]).bincount(minlength=16)).pvalue > 1e-4
    assert make().trivial() == 1 / 4


def test_it_may_be_longer_with_the_same_lag() -> None:
    assert make().at_length(100) == make(length=100)
    with pytest.raises(OptionError, match="lag must be a whole number from 1 to 4, not 7"):
        make().at_length(5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        ({"lag": 0}, "lag must be a whole number from 1 to 39, not 0."),
        ({"lag": 40}, "lag must be a whole number from 1 to 39, not 40."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
