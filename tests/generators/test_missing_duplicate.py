"""Missing duplicate: the hidden symbol by hand, and hidden anywhere."""

from __future__ import annotations

import pytest
from strings import answers, columns, draw, is_even, lengths, tally

from cellbench.errors import OptionError
from cellbench.generators.missing_duplicate import MissingDuplicate


def make(**settings):
    return MissingDuplicate(**{"shortest": 2, "longest": 40, "alphabet": 2} | settings)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("a b b a ? b .", "a a a a a a b"),
        ("a ? a b . . .", "a a a a b a a"),
        ("? b . . . . .", "a a b a a a a"),
        ("b ? . . . . .", "a a b a a a a"),
    ],
)
def test_strings_worked_out_by_hand(text, answer) -> None:
    """Where nothing is asked the target is class 0, drawn `a`."""
    assert answers(make(), text) == answer


@pytest.mark.parametrize("alphabet", [2, 5])
def test_the_answer_makes_both_copies_the_same(alphabet) -> None:
    hidden = alphabet + 1
    for shown, found in columns(draw(make(alphabet=alphabet), 60)):
        (answer,) = found.values()
        half = len(shown) // 2
        whole = [answer + 1 if token == hidden else token for token in shown]
        assert shown.count(hidden) == 1
        assert whole[:half] == whole[half:]
        assert list(found) == [len(shown)]


def test_lengths_places_and_answers_are_fair() -> None:
    batch = draw(make(shortest=2, longest=8, alphabet=3), 10_000)
    kinds = lengths(batch)

    assert is_even(tally(kinds // 2 - 1, 4))
    assert is_even(tally(batch.targets[batch.scored], 3))
    for length in (2, 4, 6, 8):
        places = (batch.inputs[:, kinds == length] == 4).byte().argmax(dim=0)
        assert is_even(tally(places, length))


def test_one_in_alphabet_is_right_unseen() -> None:
    assert make(alphabet=5).trivial() == 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shortest": 0}, "shortest must be a whole number of at least 1, not 0."),
        (
            {"shortest": 5, "longest": 5},
            "shortest and longest must leave an even length, not 5 to 5.",
        ),
        ({"alphabet": 1}, "alphabet must be a whole number of at least 2, not 1."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message


def test_it_is_tested_at_even_lengths_only() -> None:
    assert make().at_length(50) == make(shortest=50, longest=50)
    with pytest.raises(OptionError, match="must leave an even length, not 51 to 51"):
        make().at_length(51)
