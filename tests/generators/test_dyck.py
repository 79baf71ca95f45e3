"""Dyck languages: what may come next as a stack has it, and a baseline counted out."""

from __future__ import annotations

import collections

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.dyck import Dyck
from cellbench.generators.stream import Stream


def make(kinds=2, depth=3, length=12):
    return Dyck(kinds=kinds, depth=depth, length=length)


def legal(shown, kinds, depth):
    """Return the sets after each bracket, and what is open at the end."""
    stack, sets = [], []
    for token in shown:
        if token < kinds:
            stack.append(token)
        else:
            assert stack.pop() == token - kinds
        assert len(stack) <= depth
        opens = set(range(kinds)) if len(stack) < depth else set()
        sets.append(opens | ({stack[-1] + kinds} if stack else set()))
    return sets, stack


def words(kinds, depth, length):
    """Return every word with its odds."""
    found = {(): (1.0, ())}
    for step in range(length):
        longer = {}
        for word, (odds, stack) in found.items():
            opens = len(stack) < min(depth, length - step)
            share = odds / (opens + bool(stack))
            for kind in range(kinds) if opens else ():
                longer[*word, kind] = (share / kinds, (*stack, kind))
            if stack:
                longer[*word, stack[-1] + kinds] = (share, stack[:-1])
        found = longer
    return {word: odds for word, (odds, _) in found.items()}


def test_by_hand() -> None:
    """( [ ] ): ( or [ or ), then only ] at depth 2, and so on."""
    inputs = torch.tensor([[0, 1, 3, 2]]).T
    sets = make(2, 2, 4).oracle(inputs)[:, 0].tolist()

    assert sets == [[1, 1, 1, 0], [0, 0, 0, 1], [1, 1, 1, 0], [1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("kinds", "depth", "length"), [(1, 2, 4), (2, 3, 12), (4, 1, 6), (2, 10, 100), (4, 20, 200)]
)
def test_sets_are_those_of_a_stack(kinds, depth, length) -> None:
    generator = make(kinds, depth, length)
    batch = generator.sample(Stream(0, "test"), torch.arange(50))

    for column in range(50):
        sets, left = legal(batch.inputs[:, column].tolist(), kinds, depth)
        found = [{n for n, there in enumerate(row) if there} for row in batch.targets[:, column]]
        assert found == sets
        assert left == []
    assert batch.scored.all()
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


@pytest.mark.parametrize(("kinds", "depth"), [(1, 3), (1, 2), (2, 2)])
def test_words_come_as_often_as_told(kinds, depth) -> None:
    odds = words(kinds, depth, 6)
    batch = make(kinds, depth, 6).sample(Stream(0, "train"), torch.arange(20_000))
    counts = collections.Counter(tuple(word) for word in batch.inputs.T.tolist())

    assert set(counts) == set(odds)
    assert sum(odds.values()) == pytest.approx(1)
    assert chisquare([counts[w] for w in odds], [20_000 * p for p in odds.values()]).pvalue > 1e-4


@pytest.mark.parametrize(
    ("kinds", "depth", "length"),
    [(1, 2, 8), (1, 3, 12), (1, 5, 12), (2, 1, 6), (2, 2, 8), (2, 3, 8), (3, 3, 6)],
)
def test_the_baseline_is_the_likeliest_sequence_of_sets(kinds, depth, length) -> None:
    odds = collections.Counter()
    for word, share in words(kinds, depth, length).items():
        sets, _ = legal(word, kinds, depth)
        odds[tuple(map(frozenset, sets))] += share

    assert make(kinds, depth, length).trivial() == pytest.approx(max(odds.values()), rel=1e-12)
    assert make().metric == "exact"
    assert make().at_length(40) == make(length=40)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": 0}, "kinds must be a whole number of at least 1, not 0"),
        ({"kinds": 5}, "kinds must be a whole number from 1 to four=4, not 5"),
        ({"length": 13}, "length must be a multiple of 2, not 13"),
        ({"length": 0}, "length must be a whole number of at least 2, not 0"),
        ({"depth": 0}, "depth must be a whole number of at least 1, not 0"),
        ({"depth": 7}, "depth must be a whole number from 1 to half of length, or 20=6, not 7"),
        ({"kinds": 1, "depth": 1}, "depth must be at least 2 with kinds=1, not 1"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(**settings)
