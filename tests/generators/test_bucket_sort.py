"""Bucket sort: by hand, as Python sorts, and by place alone as known."""

from __future__ import annotations

import itertools

import pytest
from strings import answers, columns, draw, is_even, lengths, tally

from cellbench.errors import OptionError
from cellbench.generators.bucket_sort import BucketSort


def make(**settings):
    return BucketSort(**{"shortest": 1, "longest": 40, "alphabet": 5} | settings)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("c a e a . . . .", "a a a a a a c e"),
        ("d . . . . . . .", "a d a a a a a a"),
        ("e d b . . . . .", "a a a b d e a a"),
    ],
)
def test_strings_worked_out_by_hand(text, answer) -> None:
    """Where nothing is asked the target is class 0, drawn `a`."""
    assert answers(make(), text) == answer


@pytest.mark.parametrize("alphabet", [2, 5])
def test_the_answers_are_those_of_a_list(alphabet) -> None:
    for shown, found in columns(draw(make(alphabet=alphabet), 60)):
        expected = sorted(shown)
        assert list(found.values()) == [token - 1 for token in expected]
        assert list(found) == list(range(len(shown), 2 * len(shown)))


def test_lengths_and_symbols_are_fair() -> None:
    batch = draw(make(shortest=2, longest=9, alphabet=3), 10_000)

    assert is_even(tally(lengths(batch) - 2, 8))
    assert is_even(tally(batch.inputs[batch.inputs > 0] - 1, 3))


@pytest.mark.parametrize(("length", "alphabet"), [(1, 5), (3, 2), (4, 3), (5, 5)])
def test_the_likeliest_symbols_are_those_of_all_strings(length, alphabet) -> None:
    strings = [sorted(one) for one in itertools.product(range(alphabet), repeat=length)]
    places = [list(place) for place in zip(*strings, strict=True)]
    right = sum(max(map(place.count, range(alphabet))) for place in places)
    trivial = make(shortest=length, longest=length, alphabet=alphabet).trivial()

    assert trivial == pytest.approx(right / len(strings) / length)


@pytest.mark.parametrize(
    ("shortest", "longest", "known"),
    [
        (10, 10, 0.59821),
        (40, 40, 0.77785),
        (100, 100, 0.85848),  # these four in fractions, which know no rounding
        (500, 500, 0.93654),
    ],
)
def test_the_trivial_scores_are_those_known(shortest, longest, known) -> None:
    """Far from the one in five that is often taken for chance."""
    assert make(shortest=shortest, longest=longest).trivial() == pytest.approx(known, abs=1e-5)


def test_a_mixture_counts_every_answer_once() -> None:
    """Longer strings have more answers, and so more weight."""
    one, two = (make(shortest=n, longest=n).trivial() for n in (1, 2))

    assert make(shortest=1, longest=2).trivial() == pytest.approx((one + 2 * two) / 3)


def test_lengths_41_to_500_are_as_known() -> None:
    """Every length counts the same there."""
    every = [make(shortest=n, longest=n).trivial() for n in range(41, 501)]

    assert sum(every) / len(every) == pytest.approx(0.901, abs=5e-4)


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
