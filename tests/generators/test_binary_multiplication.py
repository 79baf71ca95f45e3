"""Binary multiplication: products that are right, and a baseline counted out."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.binary_multiplication import BinaryMultiplication
from cellbench.generators.stream import Stream


def make(shortest=3, longest=12):
    return BinaryMultiplication(shortest=shortest, longest=longest)


def test_by_hand() -> None:
    """6 times 3 is 18, the lowest bit first: 011 * 11 is 01001."""
    inputs = torch.tensor([[0, 1, 1, 2, 1, 1, 3, 3, 3, 3, 3, 3]]).T

    assert make(3, 6).oracle(inputs)[6:, 0].tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.parametrize(("shortest", "longest"), [(3, 3), (3, 12), (16, 16)])
def test_products_are_those_of_python(shortest, longest) -> None:
    generator = make(shortest, longest)
    batch = generator.sample(Stream(0, "test"), torch.arange(100))

    for column in range(100):
        shown = "".join("01*."[i] for i in batch.inputs[:, column].tolist()).rstrip(".")
        one, other = (int(bits[::-1], 2) for bits in shown.split("*"))
        asked = batch.scored[:, column]
        found = "".join("01$"[i] for i in batch.targets[asked, column].tolist())
        assert found == f"{one * other:b}"[::-1] + "$"
        first = len(shown)
        assert asked.nonzero().flatten().tolist() == list(range(first, first + len(found)))
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def test_lengths_the_sign_and_bits_are_fair() -> None:
    batch = make(3, 6).sample(Stream(0, "train"), torch.arange(20_000))
    length = (batch.inputs != 3).sum(0)
    sign = (batch.inputs == 2).byte().argmax(0)

    assert chisquare(torch.bincount(length)[3:]).pvalue > 1e-4
    assert chisquare(torch.bincount(sign[length == 6])[1:]).pvalue > 1e-4
    assert chisquare(torch.bincount(batch.inputs[batch.inputs < 2])).pvalue > 1e-4


@pytest.mark.parametrize("length", [3, 4, 5, 8])
def test_the_baseline_is_that_of_all_pairs(length) -> None:
    places = [dict.fromkeys("01$", 0) for _ in range(length)]
    for bits in range(1, length - 1):
        for one, other in itertools.product(range(2**bits), range(2 ** (length - 1 - bits))):
            for place, symbol in zip(places, f"{one * other:b}"[::-1] + "$", strict=False):
                place[symbol] += 1
    right = sum(max(place.values()) for place in places)

    assert make(length, length).trivial() == pytest.approx(
        right / sum(sum(place.values()) for place in places), abs=1e-12
    )


@pytest.mark.parametrize(
    ("shortest", "longest", "message"),
    [
        (2, 9, "shortest must be a whole number of at least 3, not 2"),
        (10, 9, "shortest must be a whole number from 3 to longest=9, not 10"),
        (3, 17, "longest must be a whole number from 3 to what is counted=16, not 17"),
    ],
)
def test_settings_are_checked(shortest, longest, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(shortest, longest)


def test_no_length_beyond_what_is_counted() -> None:
    assert make().at_length(16) == make(16, 16)
    with pytest.raises(OptionError, match="not 17"):
        make().at_length(17)
