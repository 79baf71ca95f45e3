"""How often each interval holds the truth: run it, and it writes results/benchmarks/coverage.json
and the table in docs/statistics.md.

Outcomes are drawn whose truth is known, three, five or ten at a time, and each interval is asked
for at 95 %. The seeds are here, so the numbers are the same on every machine; no time is measured.

    python benchmarks/interval_coverage.py [--repetitions 4000] [--page]
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from cellbench.stats.aggregate import interquartile_mean, probability_of_improvement
from cellbench.stats.intervals import (
    RESAMPLES,
    Interval,
    bootstrap_t_interval,
    bounded_interval,
    studentised,
    t_interval,
)
from cellbench.stats.rates import rate_interval
from cellbench.stats.survival import median_time, restricted_mean, survival_curve
from cellbench.stats.two_samples import probability_of_superiority

PROJECT = Path(__file__).parent.parent
FOUND = PROJECT / "results" / "benchmarks" / "coverage.json"
PAGE = PROJECT / "docs" / "statistics.md"
MARKS = {
    "coverage": "<!-- coverage: written by benchmarks/interval_coverage.py -->",
    "then": "<!-- then and here: written by benchmarks/interval_coverage.py -->",
}
END = "<!-- end -->"

LEVEL = 0.95
NEAR = 0.02
SIZES = (3, 5, 10)
TASKS = 8
SEED = 20_250_601
HORIZON = 1000.0
ENOUGH = 0.45
"""Skill that counts as solved, where a rate is asked of normal outcomes."""


@dataclass(frozen=True)
class Outcome:
    """What one cell's seeds come to.

    Attributes:
        name: In tables.
        solves: Share of the seeds that solve; None for normal outcomes.
    """

    name: str
    solves: float | None = None

    def skills(self, draw: np.random.Generator, *shape: int, shift: float = 0.0) -> np.ndarray:
        """Draw skills from 0 to 1; those that solve are near 1, the others near 0.

        Args:
            shift: Added to the mean of normal outcomes, and to the odds of solving.
        """
        if self.solves is None:
            return np.clip(draw.normal(0.5 + shift, 0.1, shape), 0, 1)
        solved = draw.random(shape) < self.solves + shift
        return np.where(solved, 0.95, 0.0) + 0.05 * draw.random(shape)

    def times(self, draw: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw times to solve, and whether each solved; the others are watched to the horizon."""
        times = np.clip(draw.normal(500, 100, n), 0, HORIZON)
        solved = np.ones(n, bool) if self.solves is None else draw.random(n) < self.solves
        return np.where(solved, times, HORIZON), solved

    @property
    def mean(self) -> float:
        """Of the skill."""
        return 0.5 if self.solves is None else 0.95 * self.solves + 0.025

    @property
    def rate(self) -> float:
        """Of skills that are enough."""
        return stats.norm.sf(ENOUGH, 0.5, 0.1) if self.solves is None else self.solves

    @property
    def median(self) -> float:
        """Of the time to solve; of odds of a half, it is where the budget ends."""
        share = 0.5 / (self.solves or 1)
        return HORIZON if share >= 1 else float(stats.norm.ppf(share, 500, 100))

    @property
    def restricted(self) -> float:
        """Mean of the time to solve or the horizon."""
        odds = self.solves or 1.0
        return odds * 500 + (1 - odds) * HORIZON

    def superiority(self, shift: float) -> float:
        """Return P(A > B), with B's outcomes shifted."""
        if self.solves is None:
            return float(stats.norm.cdf(-shift / 0.1 / math.sqrt(2)))
        a, b = self.solves, self.solves + shift
        return a * (1 - b) + (a * b + (1 - a) * (1 - b)) / 2

    @property
    def spread(self) -> np.ndarray:
        """Of tasks around this outcome: some are easier."""
        return (
            np.linspace(-0.2, 0.2, TASKS) if self.solves is None else np.linspace(-0.1, 0.1, TASKS)
        )

    def runs(self, draw: np.random.Generator, n: int, shift: float = 0.0) -> np.ndarray:
        """Draw skills, tasks x seeds."""
        return np.stack([self.skills(draw, n, shift=s + shift) for s in self.spread])

    @functools.cached_property
    def middle(self) -> float:
        """Interquartile mean of all runs that there could be: of 100,000 a task."""
        every = self.runs(np.random.default_rng(SEED), 100_000)
        return float(stats.trim_mean(every, 0.25, axis=None))

    @property
    def improvement(self) -> float:
        """Mean over tasks of P(A > B)."""
        moved = [Outcome("", self.solves and self.solves + s) for s in self.spread]
        return float(np.mean([one.superiority(gap(self)) for one in moved]))


OUTCOMES = (
    Outcome("normal"),
    Outcome("solves 0.5", 0.5),
    Outcome("solves 0.7", 0.7),
    Outcome("solves 0.9", 0.9),
)

Ask = Callable[[Outcome, np.random.Generator, int], Interval]


@dataclass(frozen=True)
class Way:
    """One interval: how it is asked for, of what truth, and whether a report shows it."""

    name: str
    ask: Ask
    truth: Callable[[Outcome], float]
    shown: bool = True


def listed(values: np.ndarray) -> list[Any]:
    return values.tolist()


def of_mean(interval: Callable[..., Interval]) -> Ask:
    return lambda outcome, draw, n: interval(listed(outcome.skills(draw, n)))


def percentile_interval(values: list[float]) -> Interval:
    """The percentile bootstrap of a mean: what is not used, and why."""
    array = np.asarray(values)
    picks = np.random.default_rng(0).integers(len(array), size=(RESAMPLES, len(array)))
    low, high = np.quantile(array[picks].mean(axis=1), [0.025, 0.975])
    return Interval(float(array.mean()), low, high, LEVEL, len(array), "percentile bootstrap")


def lenient_bootstrap_t(values: list[float]) -> Interval:
    """The bootstrap-t that leaves out resamples of equal values: another one not used."""
    array = np.asarray(values)
    picks = np.random.default_rng(0).integers(len(array), size=(RESAMPLES, len(array)))
    mean, ratios = array.mean(), studentised(array[picks], array.mean())
    error = array.std(ddof=1) / math.sqrt(len(array))
    low, high = np.quantile(ratios[np.isfinite(ratios)], [0.025, 0.975])
    ends = (float(mean - high * error), float(mean - low * error))
    return Interval(float(mean), *ends, LEVEL, len(array), "bootstrap-t, equal ones left out")


exact_rate = functools.cache(functools.partial(rate_interval, method="exact"))
wilson_rate = functools.cache(functools.partial(rate_interval, method="wilson"))


def of_rate(interval: Callable[[int, int], Interval]) -> Ask:
    def ask(outcome: Outcome, draw: np.random.Generator, n: int) -> Interval:
        return interval(int((outcome.skills(draw, n) > ENOUGH).sum()), n)

    return ask


def of_time(interval: Callable[..., Interval]) -> Ask:
    def ask(outcome: Outcome, draw: np.random.Generator, n: int) -> Interval:
        times, solved = outcome.times(draw, n)
        return interval(listed(times), listed(solved))

    return ask


def log_log_median(times: list[float], solved: list[bool]) -> Interval:
    """The median's limits as they are usually read off the curve: not used."""
    curve = survival_curve(times, solved)
    passed = [
        min((t for t, s in zip(curve.times, shares, strict=True) if s <= 0.5), default=math.inf)
        for shares in (curve.unsolved, curve.low, curve.high)
    ]
    return Interval(passed[0], passed[1], passed[2], LEVEL, len(times), "log-log")


def gap(outcome: Outcome) -> float:
    """Return how far B is behind A: one standard deviation, or 40 % of the seeds."""
    return -0.1 if outcome.solves is None else -0.4


def of_pair(level: Callable[[int], float], *, equal: bool = False) -> Ask:
    """Ask for P(A > B), at a level that may depend on n."""

    def ask(outcome: Outcome, draw: np.random.Generator, n: int) -> Interval:
        a = outcome.skills(draw, n)
        b = outcome.skills(draw, n, shift=0.0 if equal else gap(outcome))
        return probability_of_superiority(listed(a), listed(b), level=level(n))

    return ask


def as_asked(n: int) -> float:  # noqa: ARG001 -- as the other one
    return LEVEL


@functools.cache
def as_published(n: int) -> float:
    """Return the level at which t is the normal quantile of ours, as in Newcombe's method 5."""
    return 2 * float(stats.t.cdf(stats.norm.ppf((1 + LEVEL) / 2), 2 * n - 2)) - 1


def percentile_middle(outcome: Outcome, draw: np.random.Generator, n: int) -> Interval:
    """The interquartile mean with the percentile bootstrap, as published."""
    runs = outcome.runs(draw, n)
    picks = np.random.default_rng(0).integers(n, size=(RESAMPLES, TASKS, n))
    resamples = np.take_along_axis(runs[None], picks, axis=2).reshape(RESAMPLES, -1)
    low, high = np.quantile(stats.trim_mean(resamples, 0.25, axis=1), [0.025, 0.975])
    middle = float(stats.trim_mean(runs, 0.25, axis=None))
    return Interval(middle, float(low), float(high), LEVEL, runs.size, "percentile bootstrap")


def improved(outcome: Outcome, draw: np.random.Generator, n: int) -> Interval:
    a, b = outcome.runs(draw, n), outcome.runs(draw, n, shift=gap(outcome))
    return probability_of_improvement(listed(a), listed(b))


WAYS = (
    Way("bounded", of_mean(bounded_interval), lambda o: o.mean),
    Way("t", of_mean(t_interval), lambda o: o.mean, shown=False),
    Way("bootstrap-t", of_mean(bootstrap_t_interval), lambda o: o.mean, shown=False),
    Way("bootstrap-t, lenient", of_mean(lenient_bootstrap_t), lambda o: o.mean, shown=False),
    Way("percentile bootstrap", of_mean(percentile_interval), lambda o: o.mean, shown=False),
    Way("rate, exact", of_rate(exact_rate), lambda o: o.rate),
    Way("rate, Wilson", of_rate(wilson_rate), lambda o: o.rate, shown=False),
    Way("median time", of_time(median_time), lambda o: o.median),
    Way("median time, log-log", of_time(log_log_median), lambda o: o.median, shown=False),
    Way(
        "restricted mean",
        of_time(functools.partial(restricted_mean, horizon=HORIZON)),
        lambda o: o.restricted,
    ),
    Way("P(A > B)", of_pair(as_asked), lambda o: o.superiority(gap(o))),
    Way("P(A > B), no difference", of_pair(as_asked, equal=True), lambda _: 0.5),
    Way(
        "P(A > B), Newcombe 5",
        of_pair(as_published),
        lambda o: o.superiority(gap(o)),
        shown=False,
    ),
    Way(
        "P(A > B), Newcombe 5, no difference",
        of_pair(as_published, equal=True),
        lambda _: 0.5,
        shown=False,
    ),
    Way(
        "IQM over 8 tasks",
        lambda outcome, draw, n: interquartile_mean(listed(outcome.runs(draw, n))),
        lambda o: o.middle,
    ),
    Way("IQM over 8 tasks, percentile", percentile_middle, lambda o: o.middle, shown=False),
    Way("improvement over 8 tasks", improved, lambda o: o.improvement),
)


def entry(way: Way, outcome: Outcome, n: int, repetitions: int) -> dict[str, Any]:
    """Return how often it held the truth, and how wide it was."""
    draw = np.random.default_rng([SEED, zlib.crc32(f"{way.name}, {outcome.name}".encode()), n])
    truth = way.truth(outcome)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of equal values, whose spread is 0
        found = [way.ask(outcome, draw, n) for _ in range(repetitions)]
    held = sum(one.low - 1e-9 <= truth <= one.high + 1e-9 for one in found) / repetitions
    widths = [one.high - one.low for one in found]
    bounded = [width for width in widths if math.isfinite(width)]
    return {
        "interval": way.name,
        "shown": way.shown,
        "outcome": outcome.name,
        "n": n,
        "repetitions": repetitions,
        "truth": truth,
        "coverage": held,
        "error": math.sqrt(held * (1 - held) / repetitions),
        "width": sum(bounded) / len(bounded) if bounded else None,
        "unbounded": 1 - len(bounded) / repetitions,
        "verdict": verdict(held),
    }


def verdict(coverage: float) -> str:
    """Return in words how a coverage compares with the level."""
    if abs(coverage - LEVEL) <= NEAR + 1e-12:
        return "within 2 points"
    return "covers more" if coverage > LEVEL else "does not cover"


def simulate(
    repetitions: int, ways: tuple[Way, ...] = WAYS, sizes: tuple[int, ...] = SIZES
) -> Iterator[dict[str, Any]]:
    """Yield an entry for every interval, outcome and number of seeds."""
    for way in ways:
        for outcome in OUTCOMES:
            for n in sizes:
                yield entry(way, outcome, n, repetitions)


def table(entries: list[dict[str, Any]]) -> str:
    """Return coverage in percent as Markdown: an interval a row, n = 3 / 5 / 10 in each cell."""
    found = {(e["interval"], e["outcome"], e["n"]): e for e in entries}
    outcomes = list(dict.fromkeys(e["outcome"] for e in entries))
    lines = ["| interval | " + " | ".join(outcomes) + " |", "| --- " * (len(outcomes) + 1) + "|"]
    for name, shown in dict.fromkeys((e["interval"], e["shown"]) for e in entries):
        cells = [" / ".join(cell(found[name, outcome, n]) for n in SIZES) for outcome in outcomes]
        lines.append(f"| {name if shown else f'*{name}*'} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(one: dict[str, Any]) -> str:
    """Write one coverage: bold if it does not cover, a dash if there was never an end."""
    if one["width"] is None and one["verdict"] != "does not cover":
        return "–"
    text = f"{100 * one['coverage']:.0f}"
    return f"**{text}**" if one["verdict"] == "does not cover" else text


# Coverage in percent as other code had it, and the same interval of ours.
THEN = (
    ("percentile bootstrap", "normal", "74 / 82 / 91", "percentile bootstrap"),
    ("percentile bootstrap", "solves 0.7", "62 / 77 / 87", "percentile bootstrap"),
    ("t", "normal", "95 / 95 / 95", "t"),
    ("t", "solves 0.7", "69 / 81 / 90", "t"),
    ("bootstrap-t", "normal", "84 / 94 / 95", "bootstrap-t, lenient"),
    ("bootstrap-t", "solves 0.7", "80 / 86 / 96", "bootstrap-t, lenient"),
    ("IQM over 8 tasks, percentile", "normal", "88 / 90 / 91", "IQM over 8 tasks, percentile"),
)


def then_and_here(entries: list[dict[str, Any]]) -> str:
    """Return as Markdown what other code had found, and what was found here."""
    found = {(e["interval"], e["outcome"], e["n"]): f"{100 * e['coverage']:.0f}" for e in entries}
    lines = ["| interval | outcomes | then | here |", "| --- | --- | --- | --- |"]
    for name, outcome, then, ours in THEN:
        here = " / ".join(found[ours, outcome, n] for n in SIZES)
        lines.append(f"| {name} | {outcome} | {then} | {here} |")
    return "\n".join(lines)


def page(text: str, entries: list[dict[str, Any]]) -> str:
    """Return the page with today's tables between its marks."""
    for name, written in (("coverage", table(entries)), ("then", then_and_here(entries))):
        before, rest = text.split(MARKS[name])
        _, after = rest.split(END, maxsplit=1)
        text = f"{before}{MARKS[name]}\n{written}\n{END}{after}"
    return text


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repetitions", type=int, default=4000)
    options.add_argument("--page", action="store_true", help="write the page again, and no more")
    given = options.parse_args()
    if not given.page:
        measure(given.repetitions)
    PAGE.write_text(page(PAGE.read_text(), json.loads(FOUND.read_text())["entries"]))


def measure(repetitions: int) -> None:
    """Print each entry when it is there, and write all to a file."""
    entries = []
    for one in simulate(repetitions):
        entries.append(one)
        width = "none" if one["width"] is None else f"{one['width']:.3g}"
        print(
            f"{one['interval']:36} {one['outcome']:11} n={one['n']:2}  "
            f"{100 * one['coverage']:5.1f} +- {100 * one['error']:.1f} %  width {width:6}  "
            f"{one['verdict']}",
            flush=True,
        )
    found = {"level": LEVEL, "seed": SEED, "tasks": TASKS, "entries": entries}
    FOUND.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
