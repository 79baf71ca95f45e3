"""Who is best: ranks that say what they do not know, and what nothing beats in everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rank:
    """The place of one entrant.

    Attributes:
        name: Of the entrant.
        value: That it is ranked by.
        best: The best rank that it can claim: 1, plus those that are surely better.
        worst: The worst: all, less those that are surely worse.
        groups: Numbers, from 1, of the groups of which no two members are surely different. Two
            entrants that share a group are tied.
    """

    name: str
    value: float
    best: int
    worst: int
    groups: tuple[int, ...]


def tied_groups(
    names: Sequence[str],
    values: Sequence[float],
    q_of: Mapping[frozenset[str], float | None],
    *,
    alpha: float = 0.05,
    higher_is_better: bool = True,
) -> list[Rank]:
    """Return ranks, best value first.

    Two are surely different if their q is at most alpha. A pair without q, or with None, cannot
    be told apart.

    Source: groups, Piepho 2004, "An algorithm for a letter-based representation of all-pairwise
    comparisons" (insert and absorb).

    Args:
        names: Entrants, each once.
        values: Of each.
        q_of: Pair of names -> p, corrected for all comparisons.
        alpha: Level.
        higher_is_better: Of the values.

    Raises:
        ValueError: A name is there twice, or there are not as many values as names.
    """
    if len(set(names)) != len(names) or len(names) != len(values):
        raise ValueError(f"not one value for each name: {len(names)} names, {len(values)} values")
    sign = -1 if higher_is_better else 1
    order = sorted(range(len(names)), key=lambda i: sign * values[i])
    ranked = [names[i] for i in order]
    apart = {pair for pair, q in q_of.items() if q is not None and q <= alpha}
    groups = _groups(ranked, apart)
    value_of = dict(zip(names, values, strict=True))
    return [
        Rank(
            name,
            value_of[name],
            1 + sum(frozenset((name, other)) in apart for other in ranked[:place]),
            len(ranked) - sum(frozenset((name, other)) in apart for other in ranked[place + 1 :]),
            tuple(number for number, group in enumerate(groups, 1) if name in group),
        )
        for place, name in enumerate(ranked)
    ]


def _groups(ranked: Sequence[str], apart: set[frozenset[str]]) -> list[set[str]]:
    """Return the largest groups without a pair that is apart, best first."""
    groups = [set(ranked)]
    for one, other in ((a, b) for i, a in enumerate(ranked) for b in ranked[i + 1 :]):
        if frozenset((one, other)) not in apart:
            continue
        split = [g - {x} for g in groups if {one, other} <= g for x in (one, other)]
        for part in [g for g in groups if not {one, other} <= g] + split:
            split = [*split, part] if part not in split else split
        groups = [g for g in split if not any(g < wider for wider in split)]
    places = {name: place for place, name in enumerate(ranked)}
    return sorted(groups, key=lambda group: sorted(places[name] for name in group))


def pareto_front(
    points: Mapping[str, Sequence[float | None]], *, higher_is_better: Sequence[bool]
) -> set[str]:
    """Return who is not beaten: nobody is as good in everything and better in something.

    One that lacks a value is not on the front and beats nobody: it cannot be compared.
    `incomplete` names those.

    Raises:
        ValueError: A point has not as many values as there are directions.
    """
    whole = {
        name: tuple(
            v if up else -v for v, up in zip(point, higher_is_better, strict=True) if v is not None
        )
        for name, point in points.items()
        if name not in incomplete(points)
    }
    return {
        name
        for name, point in whole.items()
        if not any(_beats(other, point) for other in whole.values())
    }


def incomplete(points: Mapping[str, Sequence[float | None]]) -> set[str]:
    """Return those that lack a value, and so are left out of the front."""
    return {name for name, point in points.items() if any(value is None for value in point)}


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(x >= y for x, y in zip(one, other, strict=True))
