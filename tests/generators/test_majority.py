"""Majority: by hand, as counted, and never a draw."""

from __future__ import annotations

import itertools

import pytest
from strings import answers, columns, draw, is_even, lengths, tally

from cellbench.errors import OptionError
from cellbench.generators.majority import Majority


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1 0 1 0 1 .", "0 0 0 0 0 1"),
        ("0 1 0 . . .", "0 0 0 0 0 0"),
        ("1 . . . . .", "0 1 0 0 0 0"),
    ],
)
def test_sequences_worked_out_by_hand(text, answer) -> None:
    assert answers(Majority(shortest=1, longest=5), text) == answer


@pytest.mark.parametrize(("shortest", "longest"), [(1, 70), (2, 8), (101, 101)])
def test_the_answer_is_the_bit_that_there_is_more_of(shortest, longest) -> None:
    for shown, found in columns(draw(Majority(shortest=shortest, longest=longest), 60)):
        ones, zeros = shown.count(2), shown.count(1)
        assert ones != zeros
        assert found == {len(shown): int(ones > zeros)}


def test_lengths_and_answers_are_fair() -> None:
    batch = draw(Majority(shortest=2, longest=10), 10_000)

    assert is_even(tally((lengths(batch) - 3) // 2, 4))
    assert is_even(tally(batch.targets[batch.scored], 2))
    assert Majority(shortest=2, longest=10).trivial() == 0.5


@pytest.mark.parametrize("length", [1, 3, 9])
def test_one_bit_gives_away_as_much_as_it_does_in_all_strings(length) -> None:
    strings = list(itertools.product((0, 1), repeat=length))
    right = sum(bits[0] == (2 * sum(bits) > length) for bits in strings)
    generator = Majority(shortest=length, longest=length)

    assert generator.controls() == {"any one bit": pytest.approx(right / len(strings))}


def test_one_bit_gives_away_less_in_longer_strings() -> None:
    """1 of one bit, 3/4 of three: 7/8 where both are as likely."""
    assert Majority(shortest=1, longest=3).controls() == {"any one bit": 7 / 8}


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((0, 5), "shortest must be a whole number of at least 1, not 0."),
        ((6, 6), "shortest and longest must leave an odd length, not 6 to 6."),
    ],
)
def test_settings_are_checked(lengths, message) -> None:
    with pytest.raises(OptionError) as caught:
        Majority(shortest=lengths[0], longest=lengths[1])

    assert str(caught.value) == message


def test_it_is_tested_at_one_length() -> None:
    assert Majority(shortest=1, longest=9).at_length(51) == Majority(shortest=51, longest=51)
