"""What gates of a machine are worth, found from launches that compare code with itself."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from cellbench.errors import OptionError, StoreError
from cellbench.regress.judge import judge_ratios, log_ratio, ratio_of
from cellbench.regress.plan import Key
from cellbench.verdicts import Calibration, Finding, Kind, Launch, Verdict

GATES = 1000
"""Gates that are resampled for each figure."""

COVERED = 0.99
"""Share of gates of equal code that a floor holds."""

CAUGHT = 0.95
"""Share of gates in which a slow-down of the detectable size is found, and confirmed."""

SLOWDOWNS = (0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.2, 0.3, 0.5, 1.0)
"""Sizes that are tried."""

Logs = Mapping[Key, Sequence[float]]
"""Cell and metric -> log ratio of each launch."""


def logs_of(launches: Sequence[Launch]) -> dict[Key, list[float]]:
    """Return the log ratios of each cell and metric, a launch each."""
    found: dict[Key, list[float]] = {}
    for block in (block for launch in launches for block in launch.blocks):
        found.setdefault((block.cell, block.metric), []).append(log_ratio(block))
    return found


def regressions(
    launches: Sequence[Mapping[Key, float]],
    again: Sequence[Mapping[Key, float]],
    margins: Mapping[Key, float],
) -> set[Key]:
    """Return what one whole gate finds: first launches, then those that confirm.

    Args:
        launches: Log ratios by cell and metric, a mapping a launch.
        again: Of the fresh processes that a suspect is confirmed with.
        margins: Of each cell and metric that is judged: the control is none of them.
    """

    def judged(
        rows: Sequence[Mapping[Key, float]], keys: Sequence[Key], *, strict: bool
    ) -> set[Key]:
        ratios = {key: ratio_of([row[key] for row in rows]) for key in keys}
        blank = {key: _blank(key) for key in keys}
        found = judge_ratios(ratios, blank, lambda *key: margins[key], strict=strict)
        return {key for key, seen in found.items() if seen.verdict is Verdict.REGRESSED}

    suspects = judged(launches, list(margins), strict=False)
    return judged(again, sorted(suspects), strict=True) if suspects else set()


def calibrate(
    launches: Sequence[Launch],
    key: Mapping[str, str],
    *,
    per_gate: int,
    margin: float,
    control: str,
    made_at: str,
    gates: int = GATES,
) -> Calibration:
    """Resample whole gates from launches of equal code.

    Args:
        launches: Of base against itself.
        key: Facts of the machine.
        per_gate: Launches a gate, in each stage.
        margin: Smallest change that matters, before any floor.
        control: No part of what is judged.
        made_at: Of the record.
        gates: To resample.
    """
    order = random.Random(0)  # noqa: S311 -- which launches; the same for the same launches
    logs = {k: v for k, v in logs_of(launches).items() if k[0] != control}
    rows = whole_rows(logs, len(launches))
    if len(rows) < per_gate:
        raise OptionError(
            f"{len(rows)} whole launches are too few to resample gates of {per_gate}; "
            "use more --launches."
        )
    floors = {k: _floor(v, per_gate, order) for k, v in logs.items()}
    margins = {k: max(margin, floor) for k, floor in floors.items()}
    alarms = sum(bool(_resampled(rows, margins, per_gate, order)) for _ in range(gates))
    return Calibration(
        key=dict(key),
        launches=len(launches),
        floors={" ".join(k): floor for k, floor in floors.items()},
        gates=gates,
        false_alarms=alarms / gates,
        detectable={
            " ".join(k): detectable(
                rows, margins, k, per_gate=per_gate, order=order, gates=gates // 5
            )
            for k in margins
        },
        per_gate=per_gate,
        made_at=made_at,
    )


def whole_rows(logs: Logs, launches: int) -> list[dict[Key, float]]:
    """Return the launches in which everything was timed, a mapping each."""
    if any(len(values) != launches for values in logs.values()):
        return []
    return [{key: values[n] for key, values in logs.items()} for n in range(launches)]


def detectable(
    rows: Sequence[Mapping[Key, float]],
    margins: Mapping[Key, float],
    key: Key,
    *,
    per_gate: int,
    order: random.Random,
    gates: int,
) -> float:
    """Return the smallest of `SLOWDOWNS` that gates catch in `CAUGHT` of all cases; inf if none."""
    for slowdown in SLOWDOWNS:
        if slowdown <= margins[key]:
            continue
        slower = [{**row, key: row[key] + math.log1p(slowdown)} for row in rows]
        found = sum(key in _resampled(slower, margins, per_gate, order) for _ in range(gates))
        if found >= CAUGHT * gates:
            return slowdown
    return math.inf


def _resampled(
    rows: Sequence[Mapping[Key, float]],
    margins: Mapping[Key, float],
    per_gate: int,
    order: random.Random,
) -> set[Key]:
    first, again = (order.choices(rows, k=per_gate) for _ in range(2))
    return regressions(first, again, margins)


def _floor(logs: Sequence[float], per_gate: int, order: random.Random) -> float:
    """Return the share within which gates of equal code find their ratio, nearly always."""
    means = sorted(abs(statistics.fmean(order.choices(logs, k=per_gate))) for _ in range(GATES))
    return math.expm1(means[math.ceil(COVERED * GATES) - 1])


def _blank(key: Key) -> Finding:
    return Finding(cell=key[0], metric=key[1], kind=Kind.TIME, verdict=Verdict.INCONCLUSIVE)


def calibration_for(key: Mapping[str, str], known: Sequence[Calibration]) -> Calibration | None:
    """Return the newest calibration of the machine with these facts."""
    mine = [found for found in known if found.key == dict(key)]
    return mine[-1] if mine else None


def read_calibrations(path: Path) -> list[Calibration]:
    """Return what `save_calibration` wrote; nothing if there is no file.

    Raises:
        StoreError: It is damaged.
    """
    if not path.exists():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Calibration])
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(
            f"{path} is no file of calibrations: {error}. Remove it and `cellbench calibrate`."
        ) from None


def save_calibration(path: Path, found: Calibration) -> None:
    """Add a calibration to a file, in place of an older one of the same machine.

    Raises:
        StoreError: The file cannot be read or written.
    """
    others = [known for known in read_calibrations(path) if known.key != found.key]
    limited = {k: v for k, v in found.detectable.items() if math.isfinite(v)}
    found = msgspec.structs.replace(found, detectable=limited)  # JSON has no infinity
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode([*others, found]), indent=1))
        draft.replace(path)
    except OSError as error:
        raise StoreError(
            f"Cannot write the calibration to {path}: {error.strerror or error}. "
            "Choose another file with --noise."
        ) from None
