"""Dynamic n-grams: bits drawn by their law, and an optimum that is the estimator of Bayes."""

from __future__ import annotations

import math

import known_entropy
import pytest
import torch
from scipy.stats import beta, chisquare, kstest

from cellbench.errors import OptionError
from cellbench.generators.dynamic_ngrams import (
    COSTS,
    UNIT,
    DynamicNgrams,
    _quantiles,
    cost,
    measured_cost,
)
from cellbench.generators.known_odds import every_text
from cellbench.generators.stream import Stream

TINY = ((1, 8), (2, 9), (3, 9))


def make(context=2, length=30):
    return DynamicNgrams(context=context, length=length)


def chances(context, length):
    """Return the chance of every string, from how often which bit followed what, in all.

    B(n1 + 1/2, n0 + 1/2) / B(1/2, 1/2) for each of the possible last bits: that the order of
    the bits does not matter is what the estimator, bit by bit, must come to by itself.
    """
    text = every_text(2, length)
    last = torch.zeros_like(text[0])
    for bit in text[:context]:
        last = last * 2 + bit
    counts = torch.zeros(2**context, 2, text.shape[1], dtype=torch.float64)
    every = torch.arange(text.shape[1])
    for bit in text[context:]:
        counts[last, bit, every] += 1
        last = (last * 2 + bit) % 2**context
    n0, n1 = (counts + 0.5).unbind(1)
    logs = torch.lgamma(n0) + torch.lgamma(n1) - torch.lgamma(n0 + n1) - math.log(math.pi)
    return (logs.sum(0) - context * math.log(2)).exp()


@pytest.mark.parametrize(("context", "length"), TINY)
def test_the_oracle_is_the_law(context, length) -> None:
    text, chance = every_text(2, length), chances(context, length)
    inputs = torch.cat([torch.full_like(text[:1], 2), text[:-1]])
    odds = make(context, length).oracle(inputs).gather(2, text.unsqueeze(2)).squeeze(2)
    right = known_entropy.expected_bits(text, chance, "forward", 2)

    assert chance.sum().item() == pytest.approx(1, abs=1e-12)
    assert (odds.double() / math.log(2) + right).abs().max() < 1e-6


@pytest.mark.parametrize(("context", "length"), TINY)
def test_strings_come_as_often_as_they_should(context, length) -> None:
    sequences, chance = 40_000, chances(context, length)
    text = make(context, length).sample(Stream(0, "test"), torch.arange(sequences)).targets
    number = (text << torch.arange(length).unsqueeze(1)).sum(0)
    counts = torch.bincount(number, minlength=2**length).double()

    assert chisquare(counts.numpy(), (chance * sequences).numpy()).pvalue > 1e-3


def test_the_optimum_counts_as_one_would() -> None:
    batch = make(3, 60).sample(Stream(0, "train"), torch.arange(40))
    for bits, optimum, scored in zip(
        batch.targets.T.tolist(), batch.optimum.T.tolist(), batch.scored.T.tolist(), strict=True
    ):
        assert scored == [False] * 3 + [True] * 57
        seen = {}
        for at in range(3, 60):
            counts = seen.setdefault(tuple(bits[at - 3 : at]), [0.5, 0.5])
            nats = -math.log(counts[bits[at]] / sum(counts))
            assert optimum[at] == pytest.approx(nats, abs=1e-6)
            counts[bits[at]] += 1


def test_by_hand() -> None:
    """0 1 0 1 1: after 1 came a 0, then a 1; after 0 twice a 1."""
    inputs = torch.tensor([2, 0, 1, 0, 1, 1]).unsqueeze(1)
    odds = make(1, 6).oracle(inputs)[:, 0].exp()

    assert odds[:, 1].tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 2, 3 / 4, 1 / 4, 1 / 2])


def test_tables_are_of_the_beta_law() -> None:
    table = _quantiles().double() / UNIT

    assert kstest(table.numpy(), beta(0.5, 0.5).cdf).statistic < 2e-4  # a step of 2**-24 at 0
    assert table.mean().item() == pytest.approx(1 / 2, abs=1e-9)
    assert table.var(correction=0).item() == pytest.approx(1 / 8, abs=1e-6)
    assert torch.equal(_quantiles(), UNIT - _quantiles().flip(0))


@pytest.mark.parametrize(("context", "length"), TINY)
def test_the_cost_is_that_over_all_strings(context, length) -> None:
    exact = known_entropy.entropy(chances(context, length)) - context

    assert cost(context, length) == pytest.approx(exact, rel=0.01)
    assert make(context, length).trivial() == pytest.approx(length - context - exact, abs=0.03)


@pytest.mark.parametrize("level", [level for level in COSTS if level[1] <= 200], ids=str)
def test_known_costs_are_met_by_sequences_that_they_were_not_measured_on(level) -> None:
    fresh = measured_cost(*level, torch.arange(2**18, 2**18 + 2048))

    assert fresh == pytest.approx(COSTS[level], rel=0.02)
    assert cost(*level) == COSTS[level]


def test_longer_is_the_same_and_more() -> None:
    short, long = (
        one.sample(Stream(0, "train"), torch.arange(20)).targets
        for one in (make(2, 30), make(2, 30).at_length(50))
    )

    assert torch.equal(long[:30], short)
    assert len(long) == 50


def test_excess_is_measured_right() -> None:
    generator = make(2, 50)
    batch = generator.sample(Stream(0, "test"), torch.arange(1000))
    odds = generator.oracle(batch.inputs)
    blind, error = known_entropy.excess(batch, torch.full_like(odds, -math.log(2)))

    assert known_entropy.excess(batch, odds)[0] == pytest.approx(0, abs=1e-5)
    assert abs(blind - generator.trivial()) < 4 * error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": 0}, "context must be a whole number of at least 1, not 0."),
        ({"context": 13}, "context must be a whole number from 1 to the most allowed=12, not 13."),
        ({"length": 2}, "length must be a whole number of at least 3, not 2."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
