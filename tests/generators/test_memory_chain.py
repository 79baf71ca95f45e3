"""Memory chain: any one of the bits, and nothing but the bits, is asked for."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.memory_chain import MemoryChain
from cellbench.generators.stream import Stream


def draw(bits, wait, count, split="train"):
    generator = MemoryChain(bits=bits, wait=wait)
    return generator, generator.sample(Stream(0, split), torch.arange(count))


def test_a_sequence_worked_out_by_hand() -> None:
    ids = torch.tensor([[0, 1, 1, 0, 3], [0, 1, 0, 0, 2], [1, 0, 0, 0, 4]]).T
    targets = MemoryChain(bits=3, wait=1).oracle(ids)

    assert targets.T.tolist() == [[0, 0, 0, 0, 1], [0] * 5, [0] * 5]


@pytest.mark.parametrize(("bits", "wait"), [(1, 0), (1, 20), (7, 0), (4, 9)])
def test_each_answer_is_the_bit_that_is_named(bits, wait) -> None:
    generator, batch = draw(bits, wait, 300)
    for column in range(300):
        *shown, question = batch.inputs[:, column].tolist()
        assert len(shown) == bits + wait
        assert set(shown) <= {0, 1}
        assert batch.targets[-1, column] == shown[question - 2]
        assert 0 <= question - 2 < bits
    assert batch.scored.sum() == 300
    assert batch.scored[-1].all()
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert generator.reads.size == 2 + bits
    assert len(generator.reads.glyphs) == 2 + bits


def test_bits_and_questions_are_fair_and_independent() -> None:
    _, batch = draw(4, 3, 8000)
    pairs = batch.inputs[-1] * 2 + batch.targets[-1] - 4

    assert chisquare(torch.bincount(pairs, minlength=8)).pvalue > 1e-3
    words = (batch.inputs[:7] << torch.arange(7).unsqueeze(1)).sum(0)
    assert chisquare(torch.bincount(words, minlength=128)).pvalue > 1e-3


@pytest.mark.parametrize("bits", [2, 3, 6])
def test_the_control_is_what_the_majority_is_worth(bits) -> None:
    strings = list(itertools.product((0, 1), repeat=bits))
    right = sum(max(one.count(0), one.count(1)) for one in strings) / bits / len(strings)
    generator = MemoryChain(bits=bits, wait=3)

    assert generator.controls() == {"how many ones there were": pytest.approx(right)}
    assert generator.trivial() == 0.5
    assert MemoryChain(bits=1, wait=3).controls() == {}
    assert generator.at_length(9) == MemoryChain(bits=bits, wait=9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 0}, "bits must be a whole number of at least 1, not 0."),
        ({"wait": -1}, "wait must be a whole number of at least 0, not -1."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        MemoryChain(**{"bits": 1, "wait": 3} | settings)

    assert str(caught.value) == message
