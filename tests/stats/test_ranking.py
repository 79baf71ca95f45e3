"""Ranks that say what they do not know; the Pareto front."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cellbench.stats.ranking import incomplete, pareto_front, tied_groups


def pairs(**q: float | None) -> dict[frozenset[str], float | None]:
    return {frozenset(names): value for names, value in q.items()}


def test_by_hand() -> None:
    """A is surely above C; B is tied with both."""
    a, b, c = tied_groups(["c", "a", "b"], [0.1, 0.9, 0.5], pairs(ac=0.01, ab=0.2, bc=0.3))

    assert [one.name for one in (a, b, c)] == ["a", "b", "c"]
    assert [(one.best, one.worst) for one in (a, b, c)] == [(1, 2), (1, 3), (2, 3)]
    assert [one.groups for one in (a, b, c)] == [(1,), (1, 2), (2,)]
    assert a.value == 0.9


def test_nothing_known_ties_all() -> None:
    found = tied_groups(["a", "b", "c"], [3, 2, 1], pairs(ab=None, bc=0.0501))

    assert [(one.best, one.worst, one.groups) for one in found] == [(1, 3, (1,))] * 3


def test_all_apart_are_plain_ranks() -> None:
    found = tied_groups(["a", "b", "c"], [1, 2, 3], pairs(ab=0.05, bc=0.01, ac=0.0))

    assert [(one.name, one.best, one.worst) for one in found] == [
        ("c", 1, 1),
        ("b", 2, 2),
        ("a", 3, 3),
    ]
    assert [one.groups for one in found] == [(1,), (2,), (3,)]


def test_less_may_be_better() -> None:
    found = tied_groups(["a", "b"], [1, 2], pairs(ab=0.01), higher_is_better=False)

    assert [(one.name, one.best) for one in found] == [("a", 1), ("b", 2)]


def test_groups_are_the_largest_without_a_pair_apart() -> None:
    """Against all subsets, of seven entrants with pairs apart at random."""
    draw = np.random.default_rng(0)
    names = list("abcdefg")
    for _ in range(20):
        q_of = {
            frozenset(pair): float(draw.random() / 5) for pair in itertools.combinations(names, 2)
        }
        tied = {
            frozenset(s)
            for n in range(1, 8)
            for s in itertools.combinations(names, n)
            if all(q_of[frozenset(pair)] > 0.05 for pair in itertools.combinations(s, 2))
        }
        largest = {s for s in tied if not any(s < other for other in tied)}
        found: dict[int, set[str]] = {}
        for one in tied_groups(names, list(range(7)), q_of):
            for group in one.groups:
                found.setdefault(group, set()).add(one.name)
        assert {frozenset(group) for group in found.values()} == largest


@pytest.mark.parametrize(("names", "values"), [(["a", "a"], [1, 2]), (["a"], [1, 2])])
def test_names_without_one_value_each_are_refused(names, values) -> None:
    with pytest.raises(ValueError, match="not one value for each name"):
        tied_groups(names, values, {})


def test_a_front_by_hand() -> None:
    """Skill up, memory down. D is beaten by A, E equals A, F lacks a value."""
    points = {
        "a": [0.9, 10.0],
        "b": [0.5, 2.0],
        "c": [0.4, 1.0],
        "d": [0.9, 11.0],
        "e": [0.9, 10.0],
        "f": [None, 0.5],
    }

    assert pareto_front(points, higher_is_better=[True, False]) == {"a", "b", "c", "e"}
    assert incomplete(points) == {"f"}
    assert pareto_front(points, higher_is_better=[True, True]) == {"d"}


def test_a_front_of_nothing_and_of_one() -> None:
    assert pareto_front({}, higher_is_better=[True]) == set()
    assert pareto_front({"a": [1.0]}, higher_is_better=[True]) == {"a"}


def test_a_point_of_other_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        pareto_front({"a": [1.0, 2.0]}, higher_is_better=[True])
