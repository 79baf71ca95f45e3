"""Histories to test with: forty commits, of which the twenty-sixth made GRU 12 % slower."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from records import ENVIRONMENT

from cellbench.record import Environment
from cellbench.store.journal import Journal
from cellbench.verdicts import HistoryLine, HistoryPoint

FIRST_DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
OTHER = Environment(digest="other", key=ENVIRONMENT.key | {"threads": "2"}, facts={})
SLOWER_FROM = 25


def commit(number: int) -> str:
    return f"{number:02d}" * 20


def point(number: int = 0, cell: str = "gru", **changes: Any) -> HistoryPoint:
    given: dict[str, Any] = {
        "run_id": f"run-{number}",
        "commit": commit(number),
        "committed_at": (FIRST_DAY + datetime.timedelta(days=number)).isoformat(),
        "branch": "main",
        "cell": cell,
        "metric": "train_step",
        "unit": "s",
        "value": 0.004,
        "values": (0.004,),
        "env": "env",
    }
    return HistoryPoint(**given | changes)


def drifting(commits: int = 40, *, slower: float = 1.12, env: str = "env") -> list[HistoryPoint]:
    """Return LSTM and GRU on a machine whose speed drifts by 10 %; ratios do not see that."""
    random = np.random.default_rng(0)
    points = []
    for number in range(commits):
        drift = 1 + 0.1 * random.standard_normal()
        for cell, seconds in (("lstm", 0.003), ("gru", 0.004)):
            change = slower if cell == "gru" and number >= SLOWER_FROM else 1.0
            noise = 1.0 if cell == "lstm" else np.exp(0.01 * random.standard_normal())
            value, ratio = seconds * drift * change * noise, seconds / 0.003 * change * noise
            found = {"value": float(value), "values": (float(value),), "ratio": float(ratio)}
            points.append(point(number, cell, **found, reference="lstm", env=env))
    return points


def flat(commits: int, **changes: Any) -> list[HistoryPoint]:
    return [point(number, **changes) for number in range(commits)]


def missing(one: HistoryPoint, error: str = "RuntimeError: no") -> HistoryPoint:
    return msgspec.structs.replace(one, value=None, values=(), ratio=None, error=error)


def write(path: Path, points: list[HistoryPoint]) -> Path:
    """Write a history; all at once, since waiting for the disk a hundred times is slow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Journal(path, HistoryLine).append(ENVIRONMENT)
    encode = msgspec.json.Encoder().encode
    with path.open("ab") as file:
        file.writelines(encode(line) + b"\n" for line in [OTHER, *points])
    return path
