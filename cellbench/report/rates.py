"""Which learning rate of a grid a row is made of: chosen on validation, never on the test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cellbench.record import Status
from cellbench.stats.window import Window, select_rate, window

Tried = dict[Any, Any]
"""A trial of one job: a row of `trials_frame`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the trials of one job at several rates come to.

    Attributes:
        rate: The one chosen.
        rates: All that were tried, rising.
        trials: Those at the chosen rate.
        window: Rates that are good enough; None if nothing was learned at any.
        notes: What a reader must know to believe it.
    """

    rate: float
    rates: tuple[float, ...]
    trials: list[Tried]
    window: Window | None
    notes: tuple[str, ...]


def choose(tried: Sequence[Tried]) -> Choice:
    """Choose among the rates of a grid by the skill on validation at the last look.

    A rate is judged by the seeds that all rates have, so that none gains by being tried with
    others; where there is no such seed, by all it has.

    Args:
        tried: Trials of one job, all with a rate of their own; at least one.
    """
    by_rate: dict[float, list[Tried]] = {}
    for trial in sorted(tried, key=lambda trial: float(trial["learning_rate"])):
        by_rate.setdefault(trial["learning_rate"], []).append(trial)
    common = set.intersection(*({t["seed"] for t in trials} for trials in by_rate.values()))
    judged = {
        rate: [t for t in trials if t["seed"] in common or not common]
        for rate, trials in by_rate.items()
    }
    scores = {rate: [t["validation_skill"] for t in trials] for rate, trials in judged.items()}
    steps = {rate: [_steps(t) for t in trials] for rate, trials in judged.items()}
    mark = _mark(tried[0])
    rate = select_rate(scores, mark=mark, steps=steps)
    found = window(scores, rate, mark=mark)
    rates = tuple(by_rate)
    notes = (
        _told(rate, rates, found),
        *_at_an_edge(by_rate[rate], rates),
        *_unequal(by_rate, len(common)),
        *_failed([t for t in tried if t["learning_rate"] != rate]),
    )
    return Choice(rate, rates, by_rate[rate], found, notes)


def _mark(trial: Tried) -> float:
    """Return the skill at which the level is solved."""
    trivial = trial["trivial"]
    return float((trial["solved_mark"] - trivial) / (trial["perfect"] - trivial))


def _steps(trial: Tried) -> float:
    """Return the steps until it was solved; all there are where it was not."""
    solved = trial["steps_to_solve"]
    return float(trial["budget_steps"] if solved is None else solved)


def width(decades: float | None, most_decades: float | None) -> str:
    """Write how wide a window is: between what a grid can tell; `≥` where it touches an edge."""
    if decades is None:
        return "–"
    if most_decades is None:
        return f"≥ {decades:.1f}"
    return f"{decades:.1f} to {most_decades:.1f}"


def _told(rate: float, rates: Sequence[float], found: Window | None) -> str:
    spread = "no window, nothing was learned at any"
    if found:
        most = None if found.is_open else found.most_decades
        spread = f"window {width(found.decades, most)} decades"
    many = f"{len(rates)} tried, {rates[0]:g} to {rates[-1]:g}"
    return f"learning rate {rate:g}, the best on validation of {many}, {spread}"


def _at_an_edge(trials: Sequence[Tried], rates: Sequence[float]) -> Iterator[str]:
    """Say where a better rate may lie outside; not of one at which every seed solves."""
    rate = trials[0]["learning_rate"]
    if rate in {rates[0], rates[-1]} and any(t["steps_to_solve"] is None for t in trials):
        end = "lowest" if rate == rates[0] else "highest"
        yield f"learning rate {rate:g} is the {end} tried; a wider --lr-grid may find a better one"


def _unequal(by_rate: dict[float, list[Tried]], common: int) -> Iterator[str]:
    seeds = {t["seed"] for trials in by_rate.values() for t in trials}
    if common < len(seeds):
        how = f"by {common} of {len(seeds)} seeds" if common else "between rates of other seeds"
        yield f"learning rate chosen {how}; run the same command again for those that are missing"


def _failed(others: Sequence[Tried]) -> Iterator[str]:
    """Count what failed at rates that were not chosen."""
    bad = Counter(t["status"] for t in others if t["status"] != Status.OK.value)
    for status, count in bad.items():
        yield f"{count} of {len(others)} trials at other learning rates {status}"
