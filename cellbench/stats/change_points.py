"""Where a series changes for good, such as the time of a call over a project's commits.

A change is told only if two tests of different kinds agree, since each cries wolf where the other
does not: E-divisive takes every distribution, but no memory of the noise; the test of a step takes
memory, but looks at the means alone. What they find by chance together is in
`results/benchmarks/change-points.json`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellbench.stats.e_divisive import divergent_split
from cellbench.stats.shift import shift
from cellbench.stats.step_test import correlation, step_p_value

STEP_LEVEL = 0.001
"""Highest probability of a step by chance, over all places where it might be."""


@dataclass(frozen=True)
class Rules:
    """What is asked of a change.

    Attributes:
        window: Values that there must be before anything is said.
        persistence: Values before and after a change, at least: one that goes away at once is none.
        magnitude: Least change, as a share: 0.03 is 3 %.
    """

    window: int = 20
    persistence: int = 2
    magnitude: float = 0.03

    def __post_init__(self) -> None:
        if self.persistence < 2 or self.window < 2 * self.persistence or self.magnitude < 0:  # noqa: PLR2004 -- a part of one value has no spread
            raise ValueError(
                "persistence is at least 2, window at least twice that, magnitude not negative; "
                f"not {self.persistence}, {self.window} and {self.magnitude}"
            )


@dataclass(frozen=True)
class ChangePoint:
    """One change.

    Attributes:
        at: Index of the first value after it.
        change: After over before, less 1: 0.12 is 12 % more.
        low: Lower bound of its 95 % interval; None if there are too few values for one.
        high: Upper one.
    """

    at: int
    change: float
    low: float | None
    high: float | None


def change_points(
    values: Sequence[float] | NDArray[np.float64], rules: Rules | None = None
) -> list[ChangePoint] | None:
    """Return where `values` change, in order; None if there are too few values to tell.

    Works on logarithms, so that a change is a ratio. The same values give the same answer.

    Args:
        values: In the order they came, above 0.
        rules: By default, `Rules()`.

    Raises:
        ValueError: A value is not above 0, or not finite.
    """
    rules = rules or Rules()
    given = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(given) & (given > 0)).all():
        raise ValueError("change points are found in finite numbers above 0 only")
    if len(given) < rules.window:
        return None
    logs = np.log(given)
    splits = sorted(_splits(logs, 0, rules.persistence, np.random.default_rng(0)))
    return _confirmed(logs, splits, rules)


def _splits(
    logs: NDArray[np.float64], start: int, least: int, random: np.random.Generator
) -> Iterator[int]:
    """Yield where the series is split by its distribution, and where its parts are."""
    split = divergent_split(logs, least, random)
    if split is not None:
        yield start + split
        yield from _splits(logs[:split], start, least, random)
        yield from _splits(logs[split:], start + split, least, random)


def _confirmed(logs: NDArray[np.float64], splits: list[int], rules: Rules) -> list[ChangePoint]:
    """Return the changes at those splits that are steps, and large enough.

    Each is tested between its neighbours: a step up and one down again would hide each other. The
    least certain one goes first, for its neighbours then have more values beside them.
    """
    while splits:
        edges = [0, *splits, len(logs)]
        parts = [edges[n : n + 3] for n in range(len(splits))]
        chances = [step_p_value(logs[start:end], rules.persistence) for start, _, end in parts]
        found = [_change(logs, *part) for part in parts]
        worst = max(range(len(splits)), key=lambda n: (chances[n], -abs(found[n].change)))
        smallest = min(range(len(splits)), key=lambda n: abs(found[n].change))
        if chances[worst] > STEP_LEVEL:
            splits = splits[:worst] + splits[worst + 1 :]
        elif abs(found[smallest].change) < rules.magnitude:
            splits = splits[:smallest] + splits[smallest + 1 :]
        else:
            return found
    return []


def _change(logs: NDArray[np.float64], start: int, split: int, end: int) -> ChangePoint:
    before, after = logs[start:split], logs[split:end]
    rho = correlation(logs[start:end], split - start)
    middle, low, high = shift(before, after, widen=(1 + rho) / (1 - rho), level=0.95)
    return ChangePoint(
        at=split,
        change=math.expm1(middle),
        low=None if low is None else math.expm1(low),
        high=None if high is None else math.expm1(high),
    )
