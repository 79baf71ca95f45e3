"""Cycle navigation: walks by hand, and odds of places by enumeration and as published."""

from __future__ import annotations

import itertools

import pytest
from strings import answers, columns, draw, is_even, lengths, tally

from cellbench.errors import OptionError
from cellbench.generators.cycle_navigation import CycleNavigation


def make(**settings):
    return CycleNavigation(**{"shortest": 1, "longest": 40, "places": 5} | settings)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("+ + 0 - + .", "0 0 0 0 0 2"),  # 1 2 2 1 2
        ("- - 0 . . .", "0 0 0 3 0 0"),  # 4 3 3
        ("+ + + + + .", "0 0 0 0 0 0"),  # once around
    ],
)
def test_walks_worked_out_by_hand(text, answer) -> None:
    assert answers(make(), text) == answer


@pytest.mark.parametrize("places", [3, 5, 8])
def test_the_answers_are_those_of_a_walk(places) -> None:
    for shown, found in columns(draw(make(places=places), 60)):
        place = 0
        for token in shown:
            place = (place + {1: 0, 2: 1, 3: -1}[token]) % places
        assert found == {len(shown): place}


def test_lengths_and_moves_are_fair() -> None:
    batch = draw(make(shortest=2, longest=9), 10_000)

    assert is_even(tally(lengths(batch) - 2, 8))
    assert is_even(tally(batch.inputs[batch.inputs > 0] - 1, 3))


@pytest.mark.parametrize("length", [1, 2, 5, 7])
def test_the_likeliest_place_is_that_of_all_walks(length) -> None:
    walks = itertools.product((0, 1, -1), repeat=length)
    ends = [sum(walk) % 5 for walk in walks]
    likeliest = max(ends.count(place) for place in range(5)) / len(ends)

    assert make().at_length(length).trivial() == pytest.approx(likeliest)


@pytest.mark.parametrize(
    ("shortest", "longest", "known"),
    [(1, 1, 0.3333), (5, 5, 0.2181), (10, 10, 0.2008), (1, 40, 0.2100), (41, 500, 0.2000)],
)
def test_the_trivial_scores_are_those_known(shortest, longest, known) -> None:
    trivial = make(shortest=shortest, longest=longest).trivial()

    assert trivial == pytest.approx(known, abs=5e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"places": 2}, "places must be a whole number of at least 3, not 2."),
        ({"longest": 0}, "longest must be a whole number of at least 1, not 0."),
        ({"shortest": 0}, "shortest must be a whole number of at least 1, not 0."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
