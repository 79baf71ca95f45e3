"""Parity: as counted by hand, at lengths that are fair, with nothing to gain unseen."""

from __future__ import annotations

import pytest
import torch
from strings import answers, columns, draw, is_even, lengths, tally

from cellbench.errors import OptionError
from cellbench.generators.parity import ASKED, Parity


def make(**settings):
    return Parity(**{"shortest": 1, "longest": 100, "asked": "running"} | settings)


@pytest.mark.parametrize(
    ("asked", "expected"), [("running", "1 1 0 1 1 0 0 0"), ("final", "0 0 0 0 1 0 0 0")]
)
def test_a_sequence_worked_out_by_hand(asked, expected) -> None:
    assert answers(make(longest=8, asked=asked), "1 0 1 1 0 . . .") == expected


@pytest.mark.parametrize("asked", ASKED)
def test_the_answers_are_those_of_a_loop_over_bits(asked) -> None:
    for shown, found in columns(draw(make(asked=asked), 60)):
        odd, expected = 0, {}
        for step, token in enumerate(shown):
            odd ^= token - 1
            expected[step] = odd
        last = len(shown) - 1
        assert found == (expected if asked == "running" else {last: expected[last]})


def test_lengths_and_answers_are_fair() -> None:
    batch = draw(make(shortest=3, longest=10), 10_000)

    assert is_even(tally(lengths(batch) - 3, 8))
    assert is_even(tally(batch.inputs[batch.inputs > 0] - 1, 2))
    for step in range(10):
        assert is_even(tally(batch.targets[step][batch.scored[step]], 2))


def test_half_is_right_unseen() -> None:
    assert make().trivial() == 0.5


def test_it_is_tested_at_one_length() -> None:
    longer = make().at_length(300)

    assert longer == make(shortest=300, longest=300)
    assert set(lengths(draw(longer, 10)).tolist()) == {300}
    assert (longer.reads, longer.answers) == (make().reads, make().answers)


def test_every_setting_changes_something() -> None:
    usual = draw(make(), 8)
    for change in ({"shortest": 50}, {"longest": 99}, {"asked": "final"}):
        other = draw(make(**change), 8)
        assert not (
            torch.equal(usual.inputs, other.inputs) and torch.equal(usual.scored, other.scored)
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shortest": 0}, "shortest must be a whole number of at least 1, not 0."),
        ({"shortest": 101}, "longest must be a whole number of at least 101, not 100."),
        (
            {"asked": "finally"},
            "asked must be one of final, running, not 'finally'; did you mean 'final'?",
        ),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
