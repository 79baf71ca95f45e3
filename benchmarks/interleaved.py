"""Two pieces of work timed side by side: ratios that a noisy machine moves on both sides alike."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from cellbench.measure.environment import environment, load_average

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"


@dataclass(frozen=True)
class Ratio:
    """How many times as long the second takes as the first.

    Attributes:
        first_s: Seconds of the first, a round each; `second_s` likewise.
    """

    first_s: tuple[float, ...]
    second_s: tuple[float, ...]

    @property
    def logs(self) -> list[float]:
        return [math.log(b / a) for a, b in zip(self.first_s, self.second_s, strict=True)]

    @property
    def median(self) -> float:
        return math.exp(statistics.median(self.logs))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the median ratio of rounds, by order statistics: no assumption."""
        ranked = sorted(self.logs)
        n = len(ranked)
        reach = next(k for k in range(n // 2, -1, -1) if _coverage(n, k) >= 0.95)
        return math.exp(ranked[reach]), math.exp(ranked[n - 1 - reach])

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.median:.3f} [{low:.3f}, {high:.3f}] over {len(self.logs)} rounds"


def _coverage(n: int, k: int) -> float:
    """Chance that the k-th smallest and k-th largest of n enclose the median."""
    return 1 - 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n


def race(first: Callable[[], object], second: Callable[[], object], *, rounds: int) -> Ratio:
    """Time both, in random order, round after round; one untimed round first."""
    order = random.Random(0)  # noqa: S311 -- only an order
    times: dict[int, list[float]] = {0: [], 1: []}
    first(), second()
    for _ in range(rounds):
        for which in order.sample((0, 1), 2):
            start = perf_counter()
            (first, second)[which]()
            times[which].append(perf_counter() - start)
    return Ratio(tuple(times[0]), tuple(times[1]))


def save(name: str, claim: str, ratio: Ratio, **more: object) -> None:
    """Write a result, with every raw round and the machine, into `results/benchmarks`."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    low, high = ratio.interval
    found = {
        "claim": claim,
        "ratio": ratio.median,
        "interval_95": [low, high],
        **more,
        "first_s": ratio.first_s,
        "second_s": ratio.second_s,
        "machine": environment(torch.device("cpu"), "float32", torch.get_num_threads()).key,
        "load_average": load_average(),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
