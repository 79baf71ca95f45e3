"""How often change points are found where there are none, and where there are.

Writes `results/benchmarks/change-points.json`. In one thread, under five minutes of a CPU:

    OMP_NUM_THREADS=1 python benchmarks/change_points.py
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
from scipy.stats import beta

from cellbench.stats.change_points import Rules, change_points
from cellbench.stats.e_divisive import divergent_split
from cellbench.stats.step_test import autoregression

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"
LENGTHS = (20, 50, 100)
WARM_UP = 100

QUIET, LOUD = 0.02, 0.2
"""Standard deviations of the logarithm. At the loud one, every step that noise makes is above the
smallest change that is told: there the tests alone decide."""

NOISES = {"normal": 0.0, "heavy-tailed": 0.0, "AR(1) 0.5": 0.5, "AR(1) 0.8": 0.8}
SERIES = {"normal": 10_000, "heavy-tailed": 10_000, "AR(1) 0.5": 2_000, "AR(1) 0.8": 300}
ALONE = 300
"""Series of which it is asked what E-divisive alone would find."""

STEPS = (0.05, 0.1, 0.2)
PLACES = ((20, 10), (20, 5), (40, 20), (40, 5), (100, 50), (100, 5))
"""Length, and values after the step."""

DETECTION_SERIES = 100


def noise(kind: str, number: int, length: int, random: np.random.Generator) -> np.ndarray:
    """Return [number, length] of variance 1; Student's t with 3 degrees of freedom is heavy."""
    shape = (number, length + WARM_UP)
    if kind == "heavy-tailed":
        return random.standard_t(3, shape)[:, WARM_UP:] / math.sqrt(3)
    rho = NOISES[kind]
    series = autoregression(random.standard_normal(shape), rho)[:, WARM_UP:]
    return series * math.sqrt(1 - rho**2)


def upper_bound(found: int, number: int) -> float:
    """Return the one-sided 95 % upper bound of a rate, exact (Clopper & Pearson)."""
    return float(beta.ppf(0.95, found + 1, number - found)) if found < number else 1.0


def false_alarms(kind: str, length: int, deviation: float) -> dict[str, object]:
    random = np.random.default_rng([length, list(NOISES).index(kind), round(deviation * 100)])
    series = noise(kind, SERIES[kind], length, random) * deviation
    found = sum(bool(change_points(np.exp(one))) for one in series)
    alone = sum(
        divergent_split(one, Rules().persistence, np.random.default_rng(0)) is not None
        for one in series[:ALONE]
    )
    return {
        "noise": kind,
        "length": length,
        "deviation": deviation,
        "series": len(series),
        "with_a_change": found,
        "rate": found / len(series),
        "upper_95": upper_bound(found, len(series)),
        "e_divisive_alone": alone / ALONE,
        "e_divisive_alone_series": ALONE,
    }


def detection(step: float, length: int, after: int) -> dict[str, object]:
    random = np.random.default_rng([length, after, round(step * 100)])
    series = noise("normal", DETECTION_SERIES, length, random) * QUIET
    series[:, length - after :] += math.log1p(step)
    found = [change_points(np.exp(one)) for one in series]
    caught = sum(any(c.change > 0 for c in changes) for changes in found)
    near = sum(any(abs(c.at - (length - after)) <= 2 for c in changes) for changes in found)
    covered = [
        c.low <= step <= c.high
        for changes in found
        for c in changes
        if c.low is not None and len(changes) == 1
    ]
    return {
        "step": step,
        "length": length,
        "after": after,
        "deviation": QUIET,
        "series": len(series),
        "caught": caught / len(series),
        "within_2_places": near / len(series),
        "several_changes": sum(len(changes) > 1 for changes in found) / len(series),
        "interval_covers": sum(covered) / len(covered) if covered else None,
    }


def main() -> None:
    start = time.process_time()
    alarms = []
    for deviation in (QUIET, LOUD):
        for kind in NOISES:
            for length in LENGTHS:
                if deviation == LOUD or kind == "normal":
                    alarms.append(false_alarms(kind, length, deviation))
                    print({k: v for k, v in alarms[-1].items() if k != "series"}, flush=True)
    caught = [detection(step, *place) for step in STEPS for place in PLACES]
    for row in caught:
        print(row)
    found = {
        "claim": "at most 0.1 % false alarms a series of independent noise",
        "rules": vars(Rules()),
        "false_alarms": alarms,
        "detection": caught,
        "cpu_s": round(time.process_time() - start, 1),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "change-points.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
