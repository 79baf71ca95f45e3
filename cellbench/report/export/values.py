"""Records as long tables: a row a record and metric, and a row a raw sample.

Nothing is summed up over seeds or machines here, and a failure is a row too: one without a
value. What is not finite has no value either, so that no NaN reaches a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from cellbench.errors import NothingMeasuredError
from cellbench.record import (
    AnyLine,
    Level,
    Measurement,
    Speed,
    Timings,
    Trial,
)
from cellbench.stats.median import median_interval
from cellbench.store.journal import measurements, speeds, trials

PHASES = {
    "train_step": "train",
    "inference": "infer",
    "streaming": "step",
    "streaming_batch": "step",
}
"""Kind of call -> phase."""

METHOD = "order statistics of the blocks of one launch"
"""How intervals of times are made: nothing in them knows how the next launch will differ."""


Timed = Measurement | Speed
"""Records of what was timed."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one record.

    Attributes:
        cell_version: Digest of the cell's source.
        n_params: In the cell.
        task: Family of the level; "" for a speed, which has no task.
        T: Steps of a sequence; `B`, sequences at once.
        metric: "" where a record has no value at all; `status` says why.
        unit: "s", "bytes", "1/s", ..., or "" for a plain number.
        better: "higher", "lower", or "" where neither is.
        n: Samples that `value` is made of.
        ci_low: And `ci_high`: an interval by `ci_method`, with the level that it has.
    """

    run_id: str
    unit_id: str
    started_at: str
    commit: str
    dirty: bool
    env: str
    cell: str
    cell_version: str
    n_params: int | None = None
    task: str = ""
    level: str = ""
    task_version: int | None = None
    task_digest: str = ""
    seed: int | None = None
    phase: str = ""
    mode: str = ""
    dtype: str
    T: int | None = None
    B: int | None = None
    input: int | None = None
    hidden: int
    status: str
    metric: str = ""
    value: float | None = None
    unit: str = ""
    better: str = ""
    n: int = 0
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str = ""
    ci_level: float | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One timed block.

    Attributes:
        metric: As in `Value`.
        launch: Of the process that timed it: a record is of one, so 0.
        round: Of the block, in the order they ran.
        value: Seconds a call.
    """

    unit_id: str
    metric: str
    launch: int
    round: int
    value: float


def values(lines: Iterable[AnyLine]) -> list[Value]:
    """Return a row for each record and metric; of what was done twice, the newest.

    Raises:
        NothingMeasuredError: There is no record.
    """
    lines = list(lines)
    rows = [
        *(row for trial in trials(lines) for row in _or_empty(_common(trial), _trial(trial))),
        *(row for m in measurements(lines) for row in _or_empty(_common(m), _measurement(m))),
        *(row for speed in speeds(lines) for row in _or_empty(_common(speed), _speed(speed))),
    ]
    if not rows:
        raise NothingMeasuredError("There is no result to export; `cellbench run` makes some.")
    return rows


def samples(lines: Iterable[AnyLine]) -> list[Sample]:
    """Return a row for each timed block.

    Raises:
        NothingMeasuredError: Nothing was timed.
    """
    rows = [
        Sample(unit_id=_id(record), metric=metric, launch=0, round=n, value=call_s)
        for record in timed(lines)
        for name, timings in timings_of(record).items()
        for metric, calls_s in clocks(name, timings).items()
        for n, call_s in enumerate(calls_s)
        if math.isfinite(call_s)
    ]
    if not rows:
        raise NothingMeasuredError("There is no timing to export; `cellbench perf` makes some.")
    return rows


def timed(lines: Iterable[AnyLine]) -> list[Timed]:
    """Return the newest of what was timed, each in each environment."""
    lines = list(lines)
    found: list[Timed] = []
    found.extend(measurements(lines))
    found.extend(speeds(lines))
    return found


def timings_of(record: Timed) -> dict[str, Timings]:
    """Return the timings that a record has, by kind of call."""
    if isinstance(record, Speed):
        return {name: cost.timings for name, cost in record.costs.items()}
    found = {name: getattr(record, name, None) for name in PHASES}
    return {name: timings for name, timings in found.items() if timings is not None}


def clocks(name: str, timings: Timings) -> dict[str, list[float]]:
    """Return seconds a call of each block, by metric: one metric for each clock that was read."""
    read = {
        f"{name}_s": timings.blocks_s,
        f"{name}_device_s": timings.device_blocks_s,
        f"{name}_replay_s": timings.replay_blocks_s,
    }
    calls = timings.calls_per_block
    return {metric: [s / calls for s in blocks] for metric, blocks in read.items() if blocks}


def finite(value: float | None) -> float | None:
    """Return `value`, or None if it is not a finite number."""
    return value if value is not None and math.isfinite(value) else None


# --- a row's columns ----------------------------------------------------------------------

Columns = dict[str, Any]


def _id(record: Trial | Timed) -> str:
    if isinstance(record, Trial):
        return record.unit_id
    return record.measurement_id if isinstance(record, Measurement) else record.speed_id


def _common(record: Trial | Timed) -> Columns:
    clean = record.commit.removesuffix("-dirty").removesuffix("+")
    columns: Columns = {
        "run_id": record.run_id,
        "unit_id": _id(record),
        "started_at": record.started_at,
        "commit": clean,
        "dirty": clean != record.commit,
        "env": record.env,
        "cell": record.cell,
        "cell_version": record.cell_source,
        "mode": record.unrolled,
        "status": record.status.value,
    }
    return columns | (_sizes(record) if isinstance(record, Speed) else _level(record))


def _sizes(speed: Speed) -> Columns:
    sizes = speed.sizes
    named = {"T": sizes.time, "B": sizes.batch, "input": sizes.input, "hidden": sizes.hidden}
    return {**named, "dtype": speed.dtype}


def _level(record: Trial | Measurement) -> Columns:
    level: Level = record.level
    task, _, name = level.id.partition("/")
    columns: Columns = {
        "task": task,
        "level": name,
        "task_version": level.version,
        "task_digest": level.digest,
        "B": level.batch,
        "hidden": record.settings.hidden,
        "dtype": record.settings.dtype,
    }
    if isinstance(record, Trial):
        return columns | {"seed": record.seed}
    return columns | {"n_params": record.parameters.cell if record.parameters else None}


def _or_empty(common: Columns, found: Iterable[Columns]) -> list[Value]:
    """Make rows; one without a value where nothing was found."""
    return [Value(**common | columns) for columns in found] or [Value(**common)]


def _one(metric: str, value: float | None, unit: str, better: str, **more: Any) -> Columns:
    value = finite(value)
    count = {"n": 0 if value is None else 1}
    return {"metric": metric, "value": value, "unit": unit, "better": better} | count | more


# --- metrics ------------------------------------------------------------------------------


def _trial(trial: Trial) -> Iterator[Columns]:
    """Yield what was learned; an OK trial that never solved has a row without steps."""
    level = trial.level
    better = "higher" if level.perfect > level.trivial else "lower"
    found = [
        _one("skill", trial.skill, "", "higher"),
        _one(f"test_{level.metric}", trial.test_metric, "", better),
        _one("test_loss", trial.test_loss, "", "lower"),
        _one("exact_rate", trial.exact_rate, "", "higher"),
        *(_one(f"skill@{rung.length}", rung.skill, "", "higher") for rung in trial.ladder),
    ]
    yield from ({**one, "phase": "train"} for one in found if one["value"] is not None)
    if trial.status == "ok":
        solved = trial.steps_to_solve is not None
        yield _one("solved", float(solved), "", "higher", phase="train")
        yield _one("steps_to_solve", trial.steps_to_solve, "steps", "lower", phase="train")
        needed = trial.sequences_to_solve
        yield _one("sequences_to_solve", needed, "sequences", "lower", phase="train")


def _measurement(found: Measurement) -> Iterator[Columns]:
    for name, timings in timings_of(found).items():
        yield from _timed(name, timings)
    yield from _counted(found)
    if found.unrolled:
        yield _one("compile_s", found.compile_s, "s", "lower")


MEMORY = ("static_bytes", "peak_allocated_bytes", "peak_reserved_bytes", "process_bytes")


def _counted(found: Measurement) -> Iterator[Columns]:
    parts: list[tuple[Any, str, Sequence[str]]] = [
        (found.parameters, "", ("cell", "hyper", "model")),
        (found, "operations", ("operations",)),
        (found, "bytes", ("state_bytes",)),
        (found.memory, "bytes", MEMORY),
    ]
    for part, unit, fields in parts:
        for field in fields:
            number = getattr(part, field, None)
            metric = f"{field}_parameters" if part is found.parameters else field
            if number is not None:
                yield _one(metric, number, unit, "lower")


def _speed(speed: Speed) -> Iterator[Columns]:
    for name, timings in timings_of(speed).items():
        yield from _timed(name, timings)
    if speed.costs:
        yield _one("compile_s", speed.compile_s, "s", "lower")


def _timed(name: str, timings: Timings) -> Iterator[Columns]:
    """Yield the median of each clock, and of whole sequences how many go through in a second."""
    shape: Columns = {"phase": PHASES[name], "T": timings.time, "B": timings.batch}
    for metric, calls_s in clocks(name, timings).items():
        yield _middle(metric, calls_s, "s", "lower") | shape
    if PHASES[name] != "step":
        rates = [timings.batch / s for s in clocks(name, timings)[f"{name}_s"] if s > 0]
        yield _middle(f"{name}_sequences_per_s", rates, "1/s", "higher") | shape


def _middle(metric: str, found: list[float], unit: str, better: str) -> Columns:
    good = sorted(one for one in found if math.isfinite(one))
    count = len(good)
    middle = (good[(count - 1) // 2] + good[count // 2]) / 2 if good else None
    columns = _one(metric, middle, unit, better, n=count)
    interval = median_interval(good)
    if interval is None:
        return columns
    return columns | {
        "ci_low": interval.low,
        "ci_high": interval.high,
        "ci_method": METHOD,
        "ci_level": interval.level,
    }
