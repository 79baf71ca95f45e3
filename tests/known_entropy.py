"""What the tests of sources with known entropy share: their law, summed over every string."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare

from cellbench.generators.known_odds import asked, every_text, told
from cellbench.generators.ordering import places
from cellbench.generators.stream import Stream

ORDERS = ("forward", "reverse", "stride(2)", "bit_reversed", "block(4)", "random")


def expected_bits(text, chance, order, symbols):
    """Return the bits of each step, by nothing but the definition of a conditional chance."""
    kind = torch.zeros(text.shape[1], dtype=torch.int64)
    before = torch.ones_like(chance)
    rows = []
    for place in places(order, len(text)):
        kind = (kind * symbols + text[place]).unique(return_inverse=True)[1]
        now = torch.zeros_like(chance).index_add_(0, kind, chance)[kind]
        rows.append((before / now).log2())
        before = now
    return torch.stack(rows)


def entropy(chance):
    return -(chance * chance.log2()).sum().item()


def bits_in_order(generator, text):
    """Return the bits of each step, as the generator works them out, not yet rounded."""
    return generator._nats(text) / math.log(2)  # noqa: SLF001 -- samples hold them rounded


def oracle_bits(generator, text, order, symbols):
    batch = asked(text, order, symbols, torch.zeros(text.shape))
    odds = generator.oracle(batch.inputs)
    return -odds.gather(2, batch.targets.unsqueeze(2)).squeeze(2).double() / math.log(2)


def holds_in_every_order(make, chance, symbols, length):
    """Check optimum, oracle and entropy against the chance of every string."""
    text = every_text(symbols, length)
    assert chance.sum().item() == pytest.approx(1, abs=1e-12)
    for order in ORDERS:
        generator = make(order)
        right = expected_bits(text, chance, order, symbols)
        bits = bits_in_order(generator, text)

        assert (bits - right).abs().max() < 1e-9
        assert (bits * chance).sum().item() == pytest.approx(entropy(chance), abs=1e-9)
        assert (oracle_bits(generator, text, order, symbols) - right).abs().max() < 1e-5
        assert generator.entropy() == pytest.approx(entropy(chance), abs=1e-9)
        trivial = length * math.log2(symbols) - entropy(chance)  # every place by itself is fair
        assert generator.trivial() == pytest.approx(trivial, abs=1e-9)
        last = last_symbol_excess(text, chance, order, symbols)
        assert generator.controls()["no memory"] == generator.trivial()
        assert generator.controls()["the symbol asked last"] == pytest.approx(last, abs=1e-9)


def last_symbol_excess(text, chance, order, symbols):
    """Return the excess of whoever knows the place and the last symbol, over all strings."""
    total = -entropy(chance)
    before = torch.zeros(text.shape[1], dtype=torch.int64)
    for place in places(order, len(text)):
        pair = torch.zeros(symbols**2, dtype=torch.float64)
        pair.index_add_(0, before * symbols + text[place], chance)
        pair = pair.view(symbols, symbols)
        odds = torch.special.entr(pair).sum() - torch.special.entr(pair.sum(1)).sum()
        total += odds.item() / math.log(2)
        before = text[place]
    return total


def texts_of(batch):
    """Return the strings of a batch, each place where it belongs."""
    where, _, text = told(batch.inputs)
    return text.scatter(0, where[-1:], batch.targets[-1:])


def is_drawn_by_its_law(generator, chance, symbols, *, sequences=40_000):
    """Check the frequencies of all strings; the rarest count as one."""
    batch = generator.sample(Stream(0, "test"), torch.arange(sequences))
    text = texts_of(batch)
    number = (text * symbols ** torch.arange(len(text)).unsqueeze(1)).sum(0)
    counts = torch.bincount(number, minlength=len(chance)).double()
    rare = chance * sequences < 5
    seen = torch.cat([counts[~rare], counts[rare].sum().view(1)])
    right = torch.cat([chance[~rare], chance[rare].sum().view(1)]) * sequences
    there = right > 0

    assert (seen[~there] == 0).all()
    assert chisquare(seen[there].numpy(), right[there].numpy()).pvalue > 1e-3


def excess(batch, odds):
    """Return bits a sequence beyond the optimum, and the standard error."""
    nats = -odds.gather(2, batch.targets.unsqueeze(2)).squeeze(2)
    bits = torch.where(batch.scored, nats.double() - batch.optimum.double(), 0.0).sum(0)
    bits = bits / math.log(2)
    return bits.mean().item(), bits.std().item() / math.sqrt(len(bits))


def is_measured_right(generator):
    """Check that the odds themselves have no excess, and that fair odds have the trivial one."""
    batch = generator.sample(Stream(0, "test"), torch.arange(500))
    odds = generator.oracle(batch.inputs)
    assert excess(batch, odds)[0] == pytest.approx(0, abs=1e-6)
    blind, error = excess(batch, torch.full_like(odds, -math.log(odds.shape[2])))
    assert abs(blind - generator.trivial()) < 4 * error


def is_measured_wrong_for_others(generator):
    """Check that the odds of another sequence do have an excess."""
    batch = generator.sample(Stream(0, "test"), torch.arange(500))
    assert excess(batch, generator.oracle(batch.inputs.roll(1, 1)))[0] > generator.trivial()


def marginals_of_shuffled_texts_cost_the_trivial_excess(generator):
    """Check that whoever learned from texts mixed place by place lacks all that places share."""
    learned = texts_of(generator.sample(Stream(0, "train"), torch.arange(4000)))
    mixed = torch.stack([row.roll(at) for at, row in enumerate(learned)])
    told_now = generator.sample(Stream(0, "test"), torch.arange(1000))
    size = generator.answers.size
    counts = torch.nn.functional.one_hot(mixed, size).sum(1) + 0.5
    odds = (counts / counts.sum(1, keepdim=True)).log()[told_now.inputs[:, :, 1]]
    found, error = excess(told_now, odds)

    assert abs(found - generator.trivial()) < 4 * error + 0.001 * len(mixed)
