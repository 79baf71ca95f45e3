"""Times to solve, when some did not solve within the budget: censored, never left out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellbench.stats.intervals import Interval, bounded_interval, checked
from cellbench.stats.two_samples import Test, smallest_split_p, split_p, sum_of_first

Times = tuple[Sequence[float], Sequence[bool]]
"""Times, and for each whether it solved then; if not, it had not by then, and nobody looked on."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The share that has not solved yet, a step at each time at which one solved or left off.

    Attributes:
        times: Ascending.
        unsolved: Share from that time on.
        low: Lower limit of it, at each time alone; 0 where the share is 1 or 0.
        high: Upper limit likewise; 1 there.
    """

    times: tuple[float, ...]
    unsolved: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def survival_curve(times: Sequence[float], solved: Sequence[bool], *, level: float = 0.95) -> Curve:
    """Return the Kaplan-Meier curve with pointwise log-log limits.

    Source: Kaplan & Meier 1958; limits: Kalbfleisch & Prentice 1980; both as in scipy.

    Raises:
        ValueError: There are no times, or not as many flags.
    """
    curve = _curve(times, solved)
    with np.errstate(all="ignore"), warnings.catch_warnings():  # of log(0), at 1 and at 0
        warnings.simplefilter("ignore", RuntimeWarning)
        limits = curve.confidence_interval(level, method="log-log")
    share, low, high = curve.probabilities, limits.low.probabilities, limits.high.probabilities
    parts = (curve.quantiles, share, _filled(low, share, 0.0), _filled(high, share, 1.0))
    return Curve(*(tuple(float(value) for value in part) for part in parts))


def _filled(limits: np.ndarray, shares: np.ndarray, beyond: float) -> np.ndarray:
    """Fill what log-log leaves open, at a share of 1 or 0: there, all is possible."""
    return np.where(np.isnan(limits) | (shares == 1) | (shares == 0), beyond, limits)


def median_time(times: Sequence[float], solved: Sequence[bool], *, level: float = 0.95) -> Interval:
    """Return the time by which half have solved; inf where half did not.

    The estimate is Kaplan and Meier's. The limits are two of the ranked times, as far inside as
    the binomial allows, whatever the times' distribution: below six runs, none are, and the
    limits are 0 and inf. A run that left off counts with its time in the lower limit and as never
    solved in the upper one. The curve's log-log limits are not used: at three runs they hold the
    median in less than nine of ten.

    Source: Thompson 1936, "On confidence ranges for the median"; Kaplan & Meier 1958.

    Raises:
        ValueError: There are no times, or one is negative, or not as many flags.
    """
    from scipy.stats import binom  # noqa: PLC0415 -- scipy takes a second to import

    curve = _curve(times, solved)
    middle = _passes(curve.quantiles, curve.probabilities)
    inside = int(binom.ppf((1 - level) / 2, len(times), 0.5))
    early = [0.0, *sorted(times)]
    late = [*sorted(t if s else math.inf for t, s in zip(times, solved, strict=True)), math.inf]
    ends = (float(early[inside]), float(late[-1 - inside]))
    return Interval(middle, *ends, level, len(times), "Kaplan-Meier, ranked times")


def _passes(times: np.ndarray, shares: np.ndarray) -> float:
    passed = (t for t, s in zip(times, shares, strict=True) if s <= 1 / 2)
    return float(next(passed, math.inf))


def restricted_mean(
    times: Sequence[float], solved: Sequence[bool], *, horizon: float, level: float = 0.95
) -> Interval:
    """Return the mean of the time to solve or the horizon, whichever is first.

    It is the area under the Kaplan-Meier curve up to the horizon. Where all that did not solve
    were watched up to the horizon, that is a plain mean of values from 0 to it, and its interval
    is that of a bounded mean. One that left off before could have solved then, or never: the
    lower limit takes the first of it, the upper one the second.

    Source: Irwin 1949 (the mean); the interval, `bounded_interval`.

    Raises:
        ValueError: There are no times, or one is negative, or the horizon is not above 0.
    """
    _check(times, solved)
    if horizon <= 0:
        raise ValueError(f"no mean up to {horizon:g}")
    early = [min(t, horizon) for t in times]
    late = [min(t, horizon) if s else horizon for t, s in zip(times, solved, strict=True)]
    low = bounded_interval(early, high=horizon, level=level).low
    high = bounded_interval(late, high=horizon, level=level).high
    area = _area(times, solved, horizon)
    return Interval(area, low, high, level, len(times), f"restricted to {horizon:g}, Gaffke")


def _area(times: Sequence[float], solved: Sequence[bool], horizon: float) -> float:
    curve = _curve(times, solved)
    inside = curve.quantiles < horizon
    starts = np.concatenate([[0.0], curve.quantiles[inside]])
    heights = np.concatenate([[1.0], curve.probabilities[inside]])
    return float(np.diff(starts, append=horizon) @ heights)


def log_rank(a: Times, b: Times) -> Test:
    """Return the log-rank test, with its p from all splits of the runs up to ten against ten.

    Scipy's p is that of many runs; at three against three it would reject where no test can.
    All splits are alike only if both were watched equally long: the same budget on both sides.

    A run's score is whether it solved, less the Nelson-Aalen hazard of all runs up to its time;
    A's scores add up to the runs of A that solved, less those expected to.

    Source: Mantel 1966; splits: Peto & Peto 1972.

    Args:
        a: Times of A, and whether each solved.
        b: The same of B.

    Raises:
        ValueError: A sample is empty, or has not as many flags as times.
    """
    for sample in (a, b):
        _check(*sample)
    scores = log_rank_scores([*a[0], *b[0]], [*a[1], *b[1]])
    sizes = (len(a[0]), len(b[0]))
    p = split_p(scores[: sizes[0]], scores[sizes[0] :], sum_of_first)
    return Test(p, smallest_split_p(*sizes), "log-rank", sizes)


def log_rank_scores(times: Sequence[float], solved: Sequence[bool]) -> np.ndarray:
    """Return each run's score; they add up to 0."""
    moments, events = np.asarray(times, dtype=float), np.asarray(solved, dtype=bool)
    at_risk = (moments[None, :] >= moments[:, None]).sum(axis=1)
    steps = np.where(events, 1 / at_risk, 0.0)
    hazard = (steps[None, :] * (moments[None, :] <= moments[:, None])).sum(axis=1)
    return np.asarray(events - hazard)


def _curve(times: Sequence[float], solved: Sequence[bool]) -> Any:
    """Return scipy's Kaplan-Meier curve: `quantiles` are times, `probabilities` shares."""
    from scipy.stats import CensoredData, ecdf  # noqa: PLC0415 -- scipy takes a second to import

    _check(times, solved)
    data = CensoredData.right_censored(np.asarray(times, float), ~np.asarray(solved, bool))
    return ecdf(data).sf


def _check(times: Sequence[float], solved: Sequence[bool]) -> None:
    if checked(times, 0.95).min() < 0:
        raise ValueError(f"a negative time: {min(times):g}")
    if len(times) != len(solved):
        raise ValueError(f"{len(times)} times, and {len(solved)} flags of whether they solved")
