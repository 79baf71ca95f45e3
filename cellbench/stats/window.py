"""Which learning rate of a grid to take, and how wide the stretch is in which a cell learns.

A *score* says how far one seed came at one rate on validation, higher is better: the skill at the
last look, that of the model that would be kept. None is a seed that failed, by diverging or by
crashing. Scores are bounded before they are averaged: above at the mark, where training stops, so
that what lies above it is luck of that look; below at 0, since who knows less than nothing is
replaced by the best guess. A failure counts as 0 too. So the mean is what a fresh seed can expect,
and no single seed, however bad, outweighs all others.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Scores = Mapping[float, Sequence[float | None]]
"""Rate -> score of each seed; None, or what pandas makes of it, NaN, for one that failed."""

ENOUGH = 0.9
"""Of the best mean score: what a rate must keep to be in the window."""

ROUNDING = 1e-9
"""Relative: means of equal scores may differ by so much."""


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of neighbouring rates, around the one selected, that are good enough.

    A grid is blind between its points. The stretch begins somewhere above the first rate below
    it that is not good enough, and at or below the first that is: so its true width lies between
    `decades` and `most_decades`. With K rates evenly spaced over D decades, that is a doubt of
    2 D / (K - 1) decades, and a stretch narrower than D / (K - 1) can be missed altogether. At an
    edge of the grid only the lower bound holds. The noise of few seeds comes on top.

    Attributes:
        low: Smallest rate in it.
        high: Largest.
        decades: log10(high / low): it is at least so wide.
        open_low: Whether the grid ends there, and it may go on below.
        open_high: Likewise above.
        most_decades: It is less wide than this; infinite where it is open.
    """

    low: float
    high: float
    decades: float
    open_low: bool
    open_high: bool
    most_decades: float

    @property
    def is_open(self) -> bool:
        """Whether it touches an edge of the grid, so that only `decades` is known of it."""
        return self.open_low or self.open_high


def mean_score(scores: Sequence[float | None], *, mark: float = math.inf) -> float:
    """Return the mean of `scores`, each bounded to 0 and `mark`; a failure is 0.

    Raises:
        ValueError: There are no scores.
    """
    if not scores:
        raise ValueError("no seed was tried at this rate")
    return statistics.fmean(
        0.0 if score is None or math.isnan(score) else min(max(score, 0.0), mark)
        for score in scores
    )


def select_rate(
    scores: Scores,
    *,
    mark: float = math.inf,
    steps: Mapping[float, Sequence[float]] | None = None,
) -> float:
    """Return the rate of the greatest mean score.

    Among equals: with the fewest failures; then the fewest steps, since of rates that solve as
    surely one takes the quicker; then the smallest, which is furthest from where training
    diverges.

    Args:
        scores: Of each rate that was tried, on validation: never on the test.
        mark: Score at which a level is solved.
        steps: Rate -> steps that each seed took, of one that did not solve all of its budget.

    Raises:
        ValueError: There is no rate, or one without a seed.
    """
    if not scores:
        raise ValueError("no rate was tried")

    def worse(rate: float) -> tuple[float, ...]:
        failures = sum(score is None or math.isnan(score) for score in scores[rate])
        took = statistics.fmean(steps[rate]) if steps else 0.0
        return -_rounded(mean_score(scores[rate], mark=mark)), failures, _rounded(took), rate

    return min(scores, key=worse)


def _rounded(value: float) -> float:
    """Drop the last digits, in which means of the same numbers differ by their order."""
    return float(f"{value:.9g}")


def window(
    scores: Scores, selected: float, *, enough: float = ENOUGH, mark: float = math.inf
) -> Window | None:
    """Return the rates around `selected` that keep `enough` of its mean score.

    None if nothing was learned at `selected`: then every rate is as good.

    Args:
        scores: Of each rate that was tried, on validation.
        selected: One of them.
        enough: Share of the mean score at `selected`, above 0 and at most 1.
        mark: Score at which a level is solved.

    Raises:
        ValueError: `selected` was not tried, or a rate has no seed.
    """
    rates = sorted(scores)
    if selected not in scores:
        raise ValueError(f"{selected:g} is not one of the rates that were tried")
    means = [mean_score(scores[rate], mark=mark) for rate in rates]
    place = rates.index(selected)
    least = enough * means[place] * (1 - ROUNDING)
    if not least:
        return None
    first = last = place
    while first > 0 and means[first - 1] >= least:
        first -= 1
    while last + 1 < len(rates) and means[last + 1] >= least:
        last += 1
    open_low, open_high = first == 0, last == len(rates) - 1
    is_open = open_low or open_high
    return Window(
        low=rates[first],
        high=rates[last],
        decades=math.log10(rates[last] / rates[first]),
        open_low=open_low,
        open_high=open_high,
        most_decades=math.inf if is_open else math.log10(rates[last + 1] / rates[first - 1]),
    )
