"""Lengths, bits and blanks that many generators share."""

from __future__ import annotations

import pytest
import torch
from strings import is_even, tally

from cellbench.errors import OptionError
from cellbench.generators.lengths import (
    at_step,
    check_alphabet,
    check_lengths,
    draw_lengths,
    even_lengths,
    fair_bits,
    length_of,
    odd_lengths,
    with_blanks,
)
from cellbench.generators.stream import Stream

STREAM = Stream(0, "train")
INDEX = torch.arange(10_000)


def test_every_length_is_as_likely() -> None:
    found = draw_lengths(STREAM, INDEX, range(3, 12, 2))

    assert set(found.tolist()) == {3, 5, 7, 9, 11}
    assert is_even(tally((found - 3) // 2, 5))


@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (1, 8), (2, 9), (4, 5)])
def test_odd_and_even_lengths_are_those_between(shortest, longest) -> None:
    between = range(shortest, longest + 1)

    assert list(odd_lengths(shortest, longest)) == [n for n in between if n % 2]
    if longest > 1:
        assert list(even_lengths(shortest, longest)) == [n for n in between if n % 2 == 0]


def test_bits_are_fair_and_know_nothing_of_each_other() -> None:
    """Also across the 31 bits that one number of the stream makes."""
    bits = fair_bits(STREAM, "bits", INDEX, 70)

    assert bits.shape == (70, 10_000)
    for place in range(70):
        assert is_even(tally(bits[place], 2))
    for lag in (1, 2, 30, 31, 32):
        pairs = bits[:-lag] * 2 + bits[lag:]
        assert is_even(tally(pairs, 4))
        assert is_even(tally(pairs[0], 4))


def test_more_bits_move_none() -> None:
    few, many = (fair_bits(STREAM, "bits", INDEX[:50], count) for count in (10, 100))

    assert torch.equal(few, many[:10])


def test_blanks_follow_the_length_of_each_sequence() -> None:
    symbols = torch.tensor([[0, 1], [2, 3], [4, 5]])
    inputs = with_blanks(symbols, torch.tensor([1, 3]), time=5)

    assert inputs.T.tolist() == [[1, 0, 0, 0, 0], [2, 4, 6, 0, 0]]
    assert length_of(inputs).tolist() == [1, 3]


def test_an_answer_stands_where_it_is_asked() -> None:
    asked = torch.tensor([[True, False], [False, True]])

    assert at_step(torch.tensor([7, 9]), asked).tolist() == [[7, 0], [0, 9]]


@pytest.mark.parametrize(
    ("check", "given", "message"),
    [
        (check_lengths, (0, 5), "shortest must be a whole number of at least 1, not 0."),
        (check_lengths, (6, 5), "longest must be a whole number of at least 6, not 5."),
        (odd_lengths, (4, 4), "shortest and longest must leave an odd length, not 4 to 4."),
        (even_lengths, (5, 5), "shortest and longest must leave an even length, not 5 to 5."),
        (check_alphabet, (1,), "alphabet must be a whole number of at least 2, not 1."),
        (check_alphabet, (27,), "alphabet must be a whole number from 2 to letters=26, not 27."),
    ],
)
def test_lengths_and_alphabets_are_checked(check, given, message) -> None:
    with pytest.raises(OptionError) as caught:
        check(*given)

    assert str(caught.value) == message
