"""Even pairs: unlike neighbours counted by hand, and a single bit that is always even."""

from __future__ import annotations

import pytest
from strings import answers, columns, draw, is_even, lengths, tally

from cellbench.errors import OptionError
from cellbench.generators.even_pairs import EvenPairs


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("0 1 1 0 1 .", "0 0 0 0 0 1"),  # 01 10 01: three
        ("0 1 1 0 . .", "0 0 0 0 0 0"),  # 01 10: two
        ("1 0 0 . . .", "0 0 0 1 0 0"),  # 10: one
        ("1 . . . . .", "0 0 0 0 0 0"),
    ],
)
def test_sequences_worked_out_by_hand(text, answer) -> None:
    assert answers(EvenPairs(shortest=1, longest=5), text) == answer


def test_the_answer_counts_01_and_10() -> None:
    for shown, found in columns(draw(EvenPairs(shortest=1, longest=70), 60)):
        text = "".join(str(token - 1) for token in shown)
        unlike = sum(text[place : place + 2] in {"01", "10"} for place in range(len(text)))
        assert found == {len(shown): unlike % 2}


def test_lengths_and_answers_are_fair() -> None:
    batch = draw(EvenPairs(shortest=2, longest=9), 10_000)

    assert is_even(tally(lengths(batch) - 2, 8))
    assert is_even(tally(batch.targets[batch.scored], 2))


@pytest.mark.parametrize(
    ("shortest", "longest", "trivial"), [(2, 9, 0.5), (1, 2, 0.75), (1, 40, 0.5125), (1, 1, 1.0)]
)
def test_only_a_single_bit_is_known_unseen(shortest, longest, trivial) -> None:
    assert EvenPairs(shortest=shortest, longest=longest).trivial() == pytest.approx(trivial)


def test_it_is_tested_at_one_length() -> None:
    usual = EvenPairs(shortest=1, longest=40)

    assert usual.at_length(500) == EvenPairs(shortest=500, longest=500)
    with pytest.raises(OptionError, match="shortest must be a whole number of at least 1, not 0"):
        usual.at_length(0)


def test_settings_are_checked() -> None:
    with pytest.raises(OptionError, match="longest must be a whole number of at least 6, not 5"):
        EvenPairs(shortest=6, longest=5)
