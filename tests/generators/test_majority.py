"""Majority: by hand, as counted, and never a draw."""

from __future__ import annotations

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
