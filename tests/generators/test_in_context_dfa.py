"""Automata in context: true odds, and an optimum worked out over all sequences."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.in_context_dfa import InContextDFA, machines
from cellbench.generators.stream import Stream


def make(**settings):
    return InContextDFA(**{"length": 6, "symbols": 3} | settings)


def draw(generator, count, split="train"):
    return generator.sample(Stream(0, split), torch.arange(count))


def can_emit(machine, text):
    state = 0
    for symbol in text:
        (pair, leads) = machine[state]
        if symbol not in pair:
            return False
        state = leads[pair.index(symbol)]
    return True


def odds_of(text, symbols=3):
    """Return how likely it is that a sequence starts so."""
    every = machines(symbols)
    return Fraction(sum(can_emit(m, text) for m in every), len(every) * 2 ** len(text))


def test_odds_worked_out_by_hand() -> None:
    """After one `a`: it is one of two in the first state, with b or with c.

    Half of the machines stay there, and emit `a` again with odds 1/2. The others are in the
    second state, of which one in three emits a and b, a and c, or b and c: a with odds 1/3.
    """
    odds = make(length=1).oracle(torch.tensor([[0]])).exp().flatten().tolist()

    again = (1 / 2 + 1 / 3) / 2
    assert odds == pytest.approx([again, (1 - again) / 2, (1 - again) / 2])
    assert len(machines(3)) == 144
    assert len(machines(4)) == 576


@pytest.mark.parametrize("symbols", [3, 4])
def test_the_odds_of_each_sequence_are_those_of_counting_machines(symbols) -> None:
    generator = make(symbols=symbols)
    batch = draw(generator, 40)
    for column in range(40):
        text = [batch.inputs[0, column].item(), *batch.targets[:, column].tolist()]
        assert batch.inputs[1:, column].tolist() == text[1:-1]
        for step in range(6):
            so_far, then = text[: step + 1], text[: step + 2]
            nats = -math.log(odds_of(then, symbols) / odds_of(so_far, symbols))
            assert batch.optimum[step, column].item() == pytest.approx(nats, abs=1e-5)
    found = generator.oracle(batch.inputs)
    assert torch.allclose(found.exp().sum(2), torch.ones(6, 40))
    nats = -found.gather(2, batch.targets.unsqueeze(2)).squeeze(2)
    assert torch.allclose(nats, batch.optimum, atol=1e-5)
    assert batch.scored.all()


def test_sequences_are_as_likely_as_the_machines_make_them() -> None:
    batch = draw(make(length=3), 20_000)
    drawn = torch.cat([batch.inputs[:1], batch.targets]).T.tolist()
    found = Counter(map(tuple, drawn))
    every = {one: odds_of(one) for one in itertools.product(range(3), repeat=4)}

    assert sum(every.values()) == 1
    counts = [found[one] for one in every]
    assert chisquare(counts, [20_000 * float(p) for p in every.values()]).pvalue > 1e-3


@pytest.mark.parametrize(("length", "symbols"), [(1, 3), (4, 3), (2, 4)])
def test_what_takes_no_memory_is_that_of_listing_all_sequences(length, symbols) -> None:
    bits = 0.0
    for text in itertools.product(range(symbols), repeat=length + 1):
        if odds := odds_of(text, symbols):
            spent = -math.log2(odds / odds_of(text[:1], symbols))
            bits += float(odds) * (length * math.log2(symbols) - spent)

    assert make(length=length, symbols=symbols).trivial() == pytest.approx(bits, abs=1e-9)


def test_the_optimum_of_what_is_drawn_is_as_far_from_even_odds() -> None:
    generator = make(length=40)
    bits = draw(generator, 2000).optimum.double().sum(0) / math.log(2)
    found = 40 * math.log2(3) - bits

    assert found.mean().item() == pytest.approx(generator.trivial(), abs=0.2)
    assert generator.at_length(7) == make(length=7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1, not 0."),
        ({"symbols": 2}, "symbols must be a whole number from 3 to 4, not 2."),
        ({"symbols": 5}, "symbols must be a whole number from 3 to 4, not 5."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
