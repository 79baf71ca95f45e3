"""Denoising copy: no symbol is lost, and go is a token of its own."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.denoising_copy import DenoisingCopy
from cellbench.generators.stream import Stream


def make(**settings):
    usual = {"symbols": 10, "delay": 20, "alphabet": 9, "loss": "answer"}
    return DenoisingCopy(**usual | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_a_sequence_worked_out_by_hand() -> None:
    generator = make(symbols=2, delay=3, alphabet=4)
    answer = generator.oracle(torch.tensor([[0], [3], [0], [1], [5], [0], [0]]))

    assert answer.flatten().tolist() == [0, 0, 0, 0, 0, 3, 1]


def test_no_symbol_is_lost_and_the_layout_is_that_of_the_source() -> None:
    """T + 20 steps for ten symbols; the source loses one in a fifth of its sequences."""
    batch = drawn(make(), 1000)

    assert batch.inputs.shape == (40, 1000)
    assert (batch.inputs[29] == 10).all()
    assert (batch.inputs[30:] == 0).all()
    assert ((batch.inputs[:29] > 0).sum(0) == 10).all()
    assert batch.inputs[:29].max() == 9
    for inputs, targets in zip(batch.inputs.T[:50], batch.targets.T, strict=False):
        assert targets[30:].tolist() == [one for one in inputs[:29].tolist() if one]
        assert (targets[:30] == 0).all()


def test_go_is_inside_the_table_of_tokens() -> None:
    generator = make()

    assert generator.reads.size == drawn(generator, 5).inputs.max() + 1
    assert generator.answers.size == 10


def test_symbols_and_places_are_equally_likely() -> None:
    batch = drawn(make(symbols=3, delay=6), 20_000)

    assert chisquare(batch.targets[batch.scored].bincount()[1:]).pvalue > 1e-4
    assert chisquare((batch.inputs[:8] > 0).sum(1)).pvalue > 1e-4


@pytest.mark.parametrize("loss", ["answer", "all"])
def test_the_loss_looks_where_it_is_told(loss) -> None:
    batch = drawn(make(loss=loss), 4)

    assert batch.scored.sum(0).tolist() == [10] * 4
    assert batch.trained.all() == (loss == "all")
    assert loss == "all" or torch.equal(batch.trained, batch.scored)


def test_a_missing_go_is_noticed() -> None:
    generator = make()
    batch = drawn(generator, 50)

    assert (generator.oracle(torch.where(batch.inputs == 10, 0, batch.inputs)) == 0).all()


def test_it_may_be_longer() -> None:
    assert make().at_length(200) == make(delay=200)
    assert make().trivial() == 1 / 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"symbols": 0}, "symbols must be a whole number of at least 1, not 0."),
        ({"delay": 0}, "delay must be a whole number of at least 1, not 0."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
        ({"loss": "last"}, "loss must be one of answer, all, not 'last'."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
