"""Marked XOR: by hand, marks where they belong, and nothing in one bit alone."""

from __future__ import annotations

import pytest
import torch
from strings import draw, is_even, tally

from cellbench.errors import OptionError
from cellbench.generators.marked_xor import POSITIONS, MarkedXor


def make(**settings):
    return MarkedXor(**{"length": 50, "positions": "halves"} | settings)


def marked(batch):
    """Return the two marked steps of each sequence, the earlier first."""
    return batch.inputs[:, :, 1].T.nonzero()[:, 1].view(-1, 2).T


@pytest.mark.parametrize(
    ("bits", "marks", "answer"),
    [("0110", "1010", 1), ("0110", "0110", 0), ("1001", "0101", 1), ("0000", "1001", 0)],
)
def test_sequences_worked_out_by_hand(bits, marks, answer) -> None:
    rows = [[int(bit), int(mark)] for bit, mark in zip(bits, marks, strict=True)]
    targets = make(length=4).oracle(torch.tensor(rows).unsqueeze(1))

    assert targets[:, 0].tolist() == [0, 0, 0, answer]


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("length", [2, 3, 50])
def test_the_answer_is_whether_the_marked_bits_differ(positions, length) -> None:
    batch = draw(make(length=length, positions=positions), 60)
    for column in range(60):
        first, second = (
            bit for bit, mark in batch.inputs[:, column].tolist() if mark
        )  # two, or this fails
        assert batch.targets[-1, column] == (first != second)
    assert batch.scored.sum(dim=0).tolist() == [1] * 60
    assert batch.scored[-1].all()


@pytest.mark.parametrize("length", [10, 11])
def test_halves_has_one_fair_mark_in_each_half(length) -> None:
    first, second = marked(draw(make(length=length), 10_000))
    half = length // 2

    assert first.max() < half <= second.min()
    assert is_even(tally(first, half))
    assert is_even(tally(second - half, length - half))


def test_any_marks_every_pair_of_steps_equally_often() -> None:
    first, second = marked(draw(make(length=7, positions="any"), 10_000))

    assert is_even(tally(second * (second - 1) // 2 + first, 21))


def test_one_marked_bit_says_nothing_of_the_answer() -> None:
    batch = draw(make(length=10), 10_000)
    answer = batch.targets[-1]
    for which in marked(batch):
        bit = batch.inputs[:, :, 0].gather(0, which.unsqueeze(0))[0]
        assert is_even(tally(2 * bit + answer, 4))
    assert make().trivial() == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        (
            {"positions": "half"},
            "positions must be one of halves, any, not 'half'; did you mean 'halves'?",
        ),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message


def test_it_is_tested_at_other_lengths() -> None:
    assert make().at_length(400) == make(length=400)
