"""Count recall: counts by hand and by a list, and the likeliest count by enumeration."""

from __future__ import annotations

import itertools

import pytest
from strings import answers, draw, is_even, tally

from cellbench.errors import OptionError
from cellbench.generators.count_recall import CountRecall


def make(**settings):
    return CountRecall(**{"length": 20, "alphabet": 4, "asked": 3} | settings)


def test_counts_worked_out_by_hand() -> None:
    generator = make(length=6, alphabet=3, asked=3)

    assert answers(generator, "a b a a c b B A C") == "0 0 0 0 0 0 2 3 1"
    assert answers(generator, "c c c c c c A C B") == "0 0 0 0 0 0 0 6 0"


@pytest.mark.parametrize(("length", "alphabet", "asked"), [(1, 2, 1), (20, 4, 4), (70, 26, 5)])
def test_the_answers_are_those_of_a_list(length, alphabet, asked) -> None:
    batch = draw(make(length=length, alphabet=alphabet, asked=asked), 60)
    for inputs, targets in zip(batch.inputs.T.tolist(), batch.targets.T.tolist(), strict=True):
        shown, wanted = inputs[:length], [token - alphabet for token in inputs[length:]]
        assert max(shown) < alphabet
        assert len(set(wanted)) == len(wanted) == asked
        assert targets[length:] == [shown.count(symbol) for symbol in wanted]
    assert batch.scored[length:].all()
    assert not batch.scored[:length].any()


def test_what_is_shown_and_asked_is_fair() -> None:
    batch = draw(make(), 5000)

    assert is_even(tally(batch.inputs[:20], 4))
    for row in batch.inputs[20:]:
        assert is_even(tally(row - 4, 4))


@pytest.mark.parametrize(("length", "alphabet"), [(1, 2), (4, 2), (5, 3), (3, 5)])
def test_the_likeliest_count_is_that_of_all_strings(length, alphabet) -> None:
    strings = itertools.product(range(alphabet), repeat=length)
    counts = [string.count(0) for string in strings]
    likeliest = max(map(counts.count, range(length + 1))) / len(counts)
    generator = make(length=length, alphabet=alphabet, asked=1)

    assert generator.trivial() == pytest.approx(likeliest)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1, not 0."),
        ({"alphabet": 27}, "alphabet must be a whole number from 2 to letters=26, not 27."),
        ({"asked": 5}, "asked must be a whole number from 1 to alphabet=4, not 5."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message


def test_there_is_no_longer_length_with_the_same_counts() -> None:
    with pytest.raises(OptionError, match="CountRecall has no length to be tested at"):
        make().at_length(30)
