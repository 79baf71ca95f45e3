"""Binary addition: sums that are right, and a baseline counted out."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.binary_addition import BinaryAddition
from cellbench.generators.stream import Stream


def make(shortest=3, longest=12):
    return BinaryAddition(shortest=shortest, longest=longest)


def text(ids, glyphs):
    return "".join(glyphs[i] for i in ids.tolist())


def test_by_hand() -> None:
    """6 + 3 = 9, the lowest bit first: 011 + 11 is 1001."""
    inputs = torch.tensor([[0, 1, 1, 2, 1, 1, 3, 3, 3, 3, 3, 3]]).T

    answer = make(3, 6).oracle(inputs)

    assert answer[6:11, 0].tolist() == [1, 0, 0, 1, 2]


@pytest.mark.parametrize(("shortest", "longest"), [(3, 3), (3, 12), (60, 60), (3, 130)])
def test_sums_are_those_of_python(shortest, longest) -> None:
    batch = make(shortest, longest).sample(Stream(0, "test"), torch.arange(60))

    for column in range(60):
        shown, blanks = text(batch.inputs[:, column], "01+."), batch.scored[:, column]
        one, other = (int(bits[::-1], 2) for bits in shown.rstrip(".").split("+"))
        answer = batch.targets[blanks, column]
        first = len(shown.rstrip("."))
        assert text(answer, "01$") == f"{one + other:b}"[::-1] + "$"
        assert blanks.nonzero().flatten().tolist() == list(range(first, first + len(answer)))


def test_a_carry_runs_through_all_places() -> None:
    """511 + 1, where only doubling or a look-ahead gets to the end."""
    inputs = torch.tensor([[1] * 9 + [2, 1] + [3] * 11]).T

    assert make(3, 11).oracle(inputs)[11:22, 0].tolist() == [0] * 9 + [1, 2]


def test_lengths_the_plus_and_bits_are_fair() -> None:
    batch = make(3, 6).sample(Stream(0, "train"), torch.arange(20_000))
    length = (batch.inputs != 3).sum(0)
    plus = (batch.inputs == 2).byte().argmax(0)
    bits = torch.bincount(batch.inputs[batch.inputs < 2])

    assert chisquare(torch.bincount(length)[3:]).pvalue > 1e-4
    assert chisquare(torch.bincount(plus[length == 6])[1:]).pvalue > 1e-4
    assert chisquare(bits).pvalue > 1e-4


@pytest.mark.parametrize("length", [3, 4, 5, 8])
def test_the_baseline_is_that_of_all_pairs(length) -> None:
    places = [dict.fromkeys("01$", 0.0) for _ in range(length)]
    for plus in range(1, length - 1):
        other_bits = length - 1 - plus
        for one in range(2**plus):
            for other in range(2**other_bits):
                for place, symbol in zip(places, f"{one + other:b}"[::-1] + "$", strict=False):
                    place[symbol] += 2.0**-plus * 2.0**-other_bits
    right = sum(max(place.values()) for place in places)

    assert make(length, length).trivial() == pytest.approx(
        right / sum(sum(place.values()) for place in places), abs=1e-12
    )


def test_the_baseline_is_in_the_published_range() -> None:
    assert 0.5 < make(3, 40).trivial() < 0.506
    assert make(3, 40).at_length(500) == make(500, 500)


@pytest.mark.parametrize(
    ("shortest", "longest", "message"),
    [
        (2, 9, "shortest must be a whole number of at least 3, not 2"),
        (10, 9, "shortest must be a whole number from 3 to longest=9, not 10"),
        (3, 2, "longest must be a whole number of at least 3, not 2"),
    ],
)
def test_settings_are_checked(shortest, longest, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(shortest, longest)
