"""Shuffle-Dyck: a counter a kind, strings shuffled fairly, and a baseline counted out."""

from __future__ import annotations

import collections
import itertools

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.shuffle_dyck import ShuffleDyck
from cellbench.generators.stream import Stream


def make(kinds=2, depth=2, length=12):
    return ShuffleDyck(kinds=kinds, depth=depth, length=length)


def sets(shown, kinds, depth):
    opened, found = [0] * kinds, []
    for token in shown:
        opened[token % kinds] += 1 if token < kinds else -1
        assert 0 <= opened[token % kinds] <= depth
        opens = [n for n in range(kinds) if opened[n] < depth]
        found.append(frozenset(opens + [n + kinds for n in range(kinds) if opened[n]]))
    assert not any(opened)
    return found


def test_by_hand() -> None:
    """( [ ) ]: ) may come after [, as it may not in Dyck."""
    found = make(2, 1, 4).oracle(torch.tensor([[0, 1, 2, 3]]).T)[:, 0].tolist()

    assert found == [[0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("kinds", "depth", "length"), [(2, 1, 4), (2, 3, 24), (4, 2, 16), (3, 8, 120)]
)
def test_sets_are_those_of_counters(kinds, depth, length) -> None:
    generator = make(kinds, depth, length)
    batch = generator.sample(Stream(0, "test"), torch.arange(50))

    for column in range(50):
        expected = sets(batch.inputs[:, column].tolist(), kinds, depth)
        found = [{n for n, there in enumerate(row) if there} for row in batch.targets[:, column]]
        assert found == expected
    assert batch.scored.all()
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def words(kinds, depth, length):
    """Return every word with its odds."""
    own = length // kinds
    strings = {(): 1.0}
    for step in range(own):
        longer = {}
        for word, odds in strings.items():
            opened = sum(word)
            up, down = opened < min(depth, own - step), opened > 0
            for change, there in ((1, up), (-1, down)):
                if there:
                    longer[*word, change] = odds / (up + down)
        strings = longer
    found = collections.Counter()
    ways = set(itertools.permutations([n for n in range(kinds) for _ in range(own)]))
    for way in ways:
        for chosen in itertools.product(strings, repeat=kinds):
            odds = 1 / len(ways)
            for string in chosen:
                odds *= strings[string]
            parts = [iter(string) for string in chosen]
            word = tuple(kind if next(parts[kind]) > 0 else kind + kinds for kind in way)
            found[word] += odds
    return found


def test_words_come_as_often_as_told() -> None:
    odds = words(2, 2, 8)
    batch = make(2, 2, 8).sample(Stream(0, "train"), torch.arange(40_000))
    counts = collections.Counter(tuple(word) for word in batch.inputs.T.tolist())

    assert set(counts) == set(odds)
    assert chisquare([counts[w] for w in odds], [40_000 * p for p in odds.values()]).pvalue > 1e-4


@pytest.mark.parametrize(("kinds", "depth", "length"), [(2, 1, 8), (2, 2, 8), (3, 1, 6)])
def test_the_baseline_is_the_likeliest_set(kinds, depth, length) -> None:
    steps = [collections.Counter() for _ in range(length)]
    for word, odds in words(kinds, depth, length).items():
        for step, found in zip(steps, sets(word, kinds, depth), strict=True):
            step[found] += odds
    expected = sum(max(step.values()) for step in steps) / length

    assert make(kinds, depth, length).trivial() == pytest.approx(expected, abs=1e-12)
    assert make().at_length(40) == make(length=40)


def test_the_baseline_of_a_long_string_is_a_number() -> None:
    assert 0.1 < make(4, 16, 1024).trivial() < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": 1}, "kinds must be a whole number of at least 2, not 1"),
        ({"length": 10}, "length must be a multiple of 4, not 10"),
        ({"depth": 0}, "depth must be a whole number of at least 1, not 0"),
        ({"depth": 4}, "depth must be a whole number from 1 to half of a kind's share"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(**settings)
