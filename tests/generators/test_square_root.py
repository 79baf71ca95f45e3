"""Square root: roots that are right to the last bit, and a baseline counted out."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.square_root import SquareRoot
from cellbench.generators.stream import Stream


def make(shortest=2, longest=12):
    return SquareRoot(shortest=shortest, longest=longest)


def written(number):
    return f"{number:b}"[::-1]


def shown(numbers, bits):
    rows = [[int(c) for c in written(n).ljust(bits, "0")] for n in numbers]
    return torch.tensor([row + [2] * ((bits + 1) // 2 + 1) for row in rows]).T


def test_by_hand() -> None:
    """The root of 27, 11011 from its lowest bit, is 5: 101."""
    assert make(2, 5).oracle(torch.tensor([[1, 1, 0, 1, 1, 2, 2, 2, 2]]).T)[5:, 0].tolist() == [
        1,
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (2, 9), (53, 62), (62, 62)])
def test_roots_are_those_of_python(shortest, longest) -> None:
    generator = make(shortest, longest)
    batch = generator.sample(Stream(0, "test"), torch.arange(100))

    for column in range(100):
        text = "".join("01."[i] for i in batch.inputs[:, column].tolist()).rstrip(".")
        root = math.isqrt(int(text[::-1], 2))
        asked = batch.scored[:, column]
        found = "".join("01$"[i] for i in batch.targets[asked, column].tolist())
        assert found == written(root) + "$"
        first = len(text)
        assert shortest <= first <= longest
        assert asked.nonzero().flatten().tolist() == list(range(first, first + len(found)))
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def test_numbers_beside_a_square_are_right() -> None:
    """Where a root in floating point may be one too large."""
    roots = [2**31 - 1, 2**30 + 1, 2**27 - 1, 94_906_267]
    numbers = [r * r + d for r in roots for d in (-1, 0, 1)]
    answers = make(62, 62).oracle(shown(numbers, 62))

    for number, answer in zip(numbers, answers.T.tolist(), strict=True):
        root = written(math.isqrt(number))
        assert answer[62 : 63 + len(root)] == [*map(int, root), 2]


def test_lengths_and_bits_are_fair() -> None:
    batch = make(2, 6).sample(Stream(0, "train"), torch.arange(20_000))

    assert chisquare(torch.bincount((batch.inputs != 2).sum(0))[2:]).pvalue > 1e-4
    assert chisquare(torch.bincount(batch.inputs[batch.inputs < 2])).pvalue > 1e-4


@pytest.mark.parametrize("length", [1, 2, 3, 6, 11])
def test_the_baseline_is_that_of_all_numbers(length) -> None:
    places = [dict.fromkeys("01$", 0) for _ in range(length + 1)]
    for number in range(2**length):
        for place, symbol in zip(places, written(math.isqrt(number)) + "$", strict=False):
            place[symbol] += 1
    right = sum(max(place.values()) for place in places)

    assert make(length, length).trivial() == pytest.approx(
        right / sum(sum(place.values()) for place in places), abs=1e-12
    )


@pytest.mark.parametrize(
    ("shortest", "longest", "message"),
    [
        (0, 9, "shortest must be a whole number of at least 1, not 0"),
        (10, 9, "shortest must be a whole number from 1 to longest=9, not 10"),
        (1, 63, "longest must be a whole number from 1 to what 64 bits hold=62, not 63"),
    ],
)
def test_settings_are_checked(shortest, longest, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(shortest, longest)


def test_no_length_beyond_what_is_exact() -> None:
    assert make().at_length(62) == make(62, 62)
    with pytest.raises(OptionError, match="not 63"):
        make().at_length(63)
