"""What recall tasks draw: fair sets, fair orders, fair choices, and exact chances."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch
from scipy.stats import chisquare

from cellbench.generators.picks import (
    different,
    distinct,
    letters,
    one_of,
    one_over_distinct,
    some_of,
)
from cellbench.generators.stream import Stream

STREAM = Stream(0, "train")
INDEX = torch.arange(24_000)


def counts(rows):
    """Return how often each different column stands there."""
    return torch.unique(rows, dim=1, return_counts=True)[1].tolist()


@pytest.mark.parametrize(("count", "out_of"), [(1, 5), (2, 5), (4, 5), (5, 5), (3, 8)])
def test_every_set_is_picked_equally_often(count, out_of) -> None:
    found = counts(some_of(STREAM, "sets", INDEX, count, out_of=out_of).sort(dim=0).values)

    assert len(found) == math.comb(out_of, count)
    assert chisquare(found).pvalue > 0.001 or len(found) == 1


@pytest.mark.parametrize(("count", "out_of"), [(2, 5), (3, 5), (4, 4)])
def test_every_order_is_picked_equally_often(count, out_of) -> None:
    found = counts(different(STREAM, "orders", INDEX, count, out_of=out_of))

    assert len(found) == math.perm(out_of, count)
    assert chisquare(found).pvalue > 0.001


def test_picks_are_different_and_in_range_where_there_is_much_to_pick_from() -> None:
    picks = different(STREAM, "many", INDEX[:500], 64, out_of=4096)

    assert all(len(set(column)) == 64 for column in picks.T.tolist())
    assert picks.min() >= 0
    assert picks.max() > 4000
    assert picks.max() < 4096


def test_one_of_those_present_is_chosen_and_each_equally_often() -> None:
    present = torch.tensor([False, True, False, True, True]).unsqueeze(1).expand(-1, len(INDEX))
    draw = STREAM.integers("one", INDEX, 1, below=2**31)[0]
    found = torch.bincount(one_of(present, draw), minlength=5).tolist()

    assert [bool(count) for count in found] == [False, True, False, True, True]
    assert chisquare([count for count in found if count]).pvalue > 0.001
    assert one_of(present[:, :2], torch.tensor([0, 2**31 - 1])).tolist() == [1, 4]


@pytest.mark.parametrize(("draws", "kinds"), [(1, 3), (3, 2), (4, 3)])
def test_chances_of_distinct_kinds_are_those_of_an_enumeration(draws, kinds) -> None:
    met = [len(set(one)) for one in itertools.product(range(kinds), repeat=draws)]
    enumerated = [Fraction(met.count(number), len(met)) for number in range(draws + 1)]

    assert distinct(draws, kinds) == enumerated
    assert one_over_distinct(draws, kinds) == sum(Fraction(1, one) for one in met) / len(met)


def test_there_are_names_for_any_number_of_keys() -> None:
    assert letters(3) == ("a", "b", "c")
    assert letters(27)[26] == "k26"
