"""Priority sort: vectors in the order that sorting in Python gives."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.priority_sort import PrioritySort
from cellbench.generators.stream import Stream


def make(items=5, top=3, width=4):
    return PrioritySort(items=items, top=top, width=width)


def test_by_hand() -> None:
    """Priorities -.5, .75, .25: the second vector, then the third."""
    shown = [[1.0, 0.0, -0.5, 0.0], [0.0, 1.0, 0.75, 0.0], [1.0, 1.0, 0.25, 0.0]]
    inputs = torch.tensor([*shown, [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]).unsqueeze(1)

    assert make(3, 2, 2).oracle(inputs)[3:, 0].tolist() == [[0, 1], [1, 1]]


def test_of_equal_priorities_the_earlier_is_the_higher() -> None:
    shown = [[1.0, 0.0, 0.25, 0.0], [0.0, 1.0, 0.25, 0.0]]
    inputs = torch.tensor([*shown, [0.0, 0.0, 0.0, 1.0]]).unsqueeze(1)

    assert make(2, 1, 2).oracle(inputs)[2, 0].tolist() == [1, 0]


@pytest.mark.parametrize(("items", "top", "width"), [(2, 1, 1), (5, 5, 3), (20, 16, 8)])
def test_vectors_are_sorted_as_in_python(items, top, width) -> None:
    generator = make(items, top, width)
    batch = generator.sample(Stream(0, "test"), torch.arange(50))

    assert batch.inputs.shape == (items + top, 50, width + 2)
    for column in range(50):
        shown = batch.inputs[:items, column].tolist()
        order = sorted(shown, key=lambda row: -row[width])
        assert batch.targets[items:, column].tolist() == [row[:width] for row in order[:top]]
        assert batch.inputs[items:, column].tolist() == [[0] * (width + 1) + [1]] * top
        assert batch.scored[:, column].tolist() == [False] * items + [True] * top
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def test_bits_and_priorities_are_fair() -> None:
    inputs = make(4, 1, 2).sample(Stream(0, "train"), torch.arange(10_000)).inputs[:4]
    priority = inputs[:, :, 2]
    first = torch.bincount(priority.argmax(0), minlength=4)

    assert -1 <= priority.min() < -0.99
    assert 0.99 < priority.max() < 1
    assert chisquare(torch.histc(priority, 20, -1, 1)).pvalue > 1e-4
    assert chisquare(torch.bincount(inputs[:, :, :2].flatten().long())).pvalue > 1e-4
    assert chisquare(first).pvalue > 1e-4


def test_what_vectors_without_their_order_are_worth() -> None:
    """Of three vectors, a bit is the same in all in 2 of 8 cases, else right in two of three."""
    cases = [max(sum(bits), 3 - sum(bits)) / 3 for bits in itertools.product((0, 1), repeat=3)]

    assert make(3, 2).controls() == {
        "vectors without their order": pytest.approx(sum(cases) / 8, abs=1e-12)
    }
    assert make().trivial() == 0.5


def test_another_length_asks_for_the_same_share() -> None:
    assert make(20, 16, 8).at_length(40) == make(40, 32, 8)
    assert make(20, 1, 8).at_length(2) == make(2, 1, 8)
    with pytest.raises(OptionError, match="items must be a whole number of at least 2, not 0"):
        make().at_length(0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"items": 1}, "items must be a whole number of at least 2, not 1"),
        ({"top": 0}, "top must be a whole number of at least 1, not 0"),
        ({"top": 6}, "top must be a whole number from 1 to items=5, not 6"),
        ({"width": 0}, "width must be a whole number of at least 1, not 0"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(**settings)
