"""Bracket stream: strings as drawn, and each saved symbol paid for once, in every order."""

from __future__ import annotations

import math

import known_entropy
import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.bracket_stream import BracketStream
from cellbench.generators.known_odds import asked, every_text
from cellbench.generators.stream import Stream

ORDERS = (*known_entropy.ORDERS, "stride(3)")


def make(saved=1, random=2, alphabet=3, repeats=1, order="forward"):
    return BracketStream(
        saved=saved, random=random, alphabet=alphabet, repeats=repeats, order=order
    )


def strings(saved, random, alphabet, repeats):
    """Return all sequences, as columns of ids: symbols, then `[`, `]` and newline."""
    free = every_text(alphabet, repeats * (saved + random))
    opening, closing, newline = (torch.full_like(free[:1], alphabet + n) for n in range(3))
    rows = []
    for one in free.split(saved + random):
        kept, between = one[:saved], one[saved:]
        rows += [opening, kept, closing, between, opening, kept, closing, newline]
    return torch.cat(rows)


TINY = ((1, 2, 3, 1), (2, 0, 3, 1), (2, 1, 2, 2))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("settings", TINY)
def test_bits_are_those_of_the_law(settings, order) -> None:
    text, generator = strings(*settings), make(*settings, order)
    symbols = settings[2] + 3
    chance = torch.full((text.shape[1],), 1 / text.shape[1], dtype=torch.float64)
    right = known_entropy.expected_bits(text, chance, order, symbols)
    batch = asked(text, order, symbols, torch.zeros(text.shape))
    odds = generator.oracle(batch.inputs).gather(2, batch.targets.unsqueeze(2)).squeeze(2)
    drawn = generator.sample(Stream(0, "test"), torch.arange(64))
    alone = -known_entropy.entropy(chance) + sum(
        known_entropy.expected_bits(row.unsqueeze(0), chance, "forward", symbols).mean().item()
        for row in text
    )

    assert generator.entropy() == pytest.approx(known_entropy.entropy(chance), abs=1e-9)
    assert generator.trivial() == pytest.approx(alone, abs=1e-9)
    assert (odds.double() / math.log(2) + right).abs().max() < 1e-6
    assert (drawn.optimum.double() / math.log(2) - right[:, :1]).abs().max() < 1e-6
    last = known_entropy.last_symbol_excess(text, chance, order, symbols)
    assert generator.controls()["the symbol asked last"] == pytest.approx(last, abs=1e-9)


@pytest.mark.parametrize("settings", TINY)
def test_every_sequence_comes_as_often(settings) -> None:
    generator = make(*settings, "random")
    text = known_entropy.texts_of(generator.sample(Stream(0, "test"), torch.arange(20_000)))
    same = (text.unsqueeze(2) == strings(*settings).unsqueeze(1)).all(0)

    assert (same.sum(1) == 1).all()
    assert chisquare(same.sum(0).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("repeats", [1, 4])
def test_bits_of_a_character_are_those_of_the_closed_form(repeats) -> None:
    generator = make(1, 5, 10, repeats)

    assert generator.length == 12 * repeats
    assert generator.entropy() / generator.length == pytest.approx(1.660964, abs=5e-7)


def test_by_hand() -> None:
    """[ 2 ] 0 1 [ ? : the saved symbol comes again; what comes between could be any of three."""
    text = torch.tensor([3, 2, 4, 0, 1, 3, 2, 4, 5])
    inputs = torch.stack([torch.cat([torch.tensor([6]), text[:-1]]), torch.arange(9)], 1)
    odds = make().oracle(inputs.unsqueeze(1))[:, 0].exp()

    assert odds[6].tolist() == [0, 0, 1, 0, 0, 0]
    assert odds[3].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    assert odds[8].tolist() == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_excess_is_measured_right(order) -> None:
    generator = make(3, 10, 10, 2, order)
    batch = generator.sample(Stream(0, "test"), torch.arange(500))
    odds = generator.oracle(batch.inputs)

    assert known_entropy.excess(batch, odds)[0] == pytest.approx(0, abs=1e-5)
    known_entropy.marginals_of_shuffled_texts_cost_the_trivial_excess(generator)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"saved": 0}, "saved must be a whole number of at least 1, not 0."),
        ({"random": -1}, "random must be a whole number of at least 0, not -1."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
        ({"repeats": 0}, "repeats must be a whole number of at least 1, not 0."),
        ({"order": "stride(9)"}, "k of order=stride(9) must be a whole number from 2 to 8"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)
