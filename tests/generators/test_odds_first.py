"""Odds first: by hand, and as Python slices a list."""

from __future__ import annotations

import pytest
from strings import answers, columns, draw, is_even, lengths, tally

from cellbench.errors import OptionError
from cellbench.generators.odds_first import OddsFirst


def make(**settings):
    return OddsFirst(**{"shortest": 1, "longest": 40, "alphabet": 2} | settings)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("a b b a b . . . . .", "a a a a a a b b b a"),  # 1 3 5, 2 4
        ("b a b a . . . . . .", "a a a a b b a a a a"),  # 1 3, 2 4
        ("b . . . . . . . . .", "a b a a a a a a a a"),
    ],
)
def test_strings_worked_out_by_hand(text, answer) -> None:
    """Where nothing is asked the target is class 0, drawn `a`."""
    assert answers(make(), text) == answer


@pytest.mark.parametrize("alphabet", [2, 5])
def test_the_answers_are_those_of_a_list(alphabet) -> None:
    for shown, found in columns(draw(make(alphabet=alphabet), 60)):
        expected = shown[0::2] + shown[1::2]
        assert list(found.values()) == [token - 1 for token in expected]
        assert list(found) == list(range(len(shown), 2 * len(shown)))


def test_lengths_and_symbols_are_fair() -> None:
    batch = draw(make(shortest=2, longest=9, alphabet=3), 10_000)

    assert is_even(tally(lengths(batch) - 2, 8))
    assert is_even(tally(batch.inputs[batch.inputs > 0] - 1, 3))


def test_one_in_alphabet_is_right_unseen() -> None:
    assert make(alphabet=5).trivial() == 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shortest": 0}, "shortest must be a whole number of at least 1, not 0."),
        ({"shortest": 41}, "longest must be a whole number of at least 41, not 40."),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
        ({"alphabet": 27}, "alphabet must be a whole number from 2 to letters=26, not 27."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message


def test_it_is_tested_at_one_length() -> None:
    longer = make().at_length(300)

    assert longer == make(shortest=300, longest=300)
    assert set(lengths(draw(longer, 5)).tolist()) == {300}
