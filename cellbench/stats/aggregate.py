"""One number, or one curve, over many tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cellbench.stats.intervals import RESAMPLES, Interval, checked
from cellbench.stats.rates import rate_interval
from cellbench.stats.two_samples import probability_of_superiority

Scores = Sequence[Sequence[float]]
"""Tasks x seeds; a task may have more seeds than another."""


def interquartile_mean(scores: Scores, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the mean of the middle half of all runs of all tasks.

    The interval resamples the seeds within each task; the tasks are what they are.

    Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", arXiv:2108.13264.

    Raises:
        ValueError: There are no tasks, or one has no runs.
    """
    tasks = [checked(task, level) for task in _tasks(scores)]
    found = _trimmed(np.concatenate(tasks)[None])[0]
    draw = np.random.default_rng(seed)
    picks = [task[draw.integers(len(task), size=(RESAMPLES, len(task)))] for task in tasks]
    means = _trimmed(np.concatenate(picks, axis=1))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    runs = sum(len(task) for task in tasks)
    return Interval(float(found), float(low), float(high), level, runs, "IQM, stratified bootstrap")


def _trimmed(runs: np.ndarray) -> np.ndarray:
    from scipy.stats import trim_mean  # noqa: PLC0415 -- scipy takes a second to import

    return np.asarray(trim_mean(runs, 0.25, axis=1))


def performance_profile(
    scores: Scores, thresholds: Sequence[float], *, level: float = 0.95
) -> list[Interval]:
    """Return the share of runs with a score above each threshold.

    Runs of different tasks differ in their odds; then an exact interval of a rate holds more
    often than it says, never less (Hoeffding 1956).

    Source: Agarwal et al. 2021, run-score distributions; Dolan & More 2002.

    Raises:
        ValueError: There are no tasks, or one has no runs.
    """
    runs = np.concatenate([checked(task, level) for task in _tasks(scores)])
    above = [int((runs > threshold).sum()) for threshold in thresholds]
    return [rate_interval(k, len(runs), level=level) for k in above]


def probability_of_improvement(a: Scores, b: Scores, *, level: float = 0.95) -> Interval:
    """Return the mean over tasks of the probability that A is above B.

    The interval joins those of the tasks: the squares of their arms add up.

    Source: Agarwal et al. 2021; the interval, Zou & Donner 2008 ("MOVER").

    Args:
        a: Scores of A.
        b: Scores of B on the same tasks, in the same order.

    Raises:
        ValueError: There are no tasks, not as many of A as of B, or one has no runs.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} tasks of one, {len(b)} of the other")
    pairs = zip(_tasks(a), _tasks(b), strict=True)
    found = [probability_of_superiority(x, y, level=level) for x, y in pairs]
    mean = sum(one.estimate for one in found) / len(found)
    below = math.hypot(*(one.estimate - one.low for one in found)) / len(found)
    above = math.hypot(*(one.high - one.estimate for one in found)) / len(found)
    runs = sum(one.n for one in found)
    ends = (max(0.0, mean - below), min(1.0, mean + above))
    return Interval(mean, *ends, level, runs, "mean over tasks, Newcombe 5, MOVER")


def _tasks(scores: Scores) -> Scores:
    if not len(scores):
        raise ValueError("no tasks")
    return scores
