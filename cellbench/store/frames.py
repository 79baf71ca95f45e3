"""Records as pandas tables: a row a record, a column a fact."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from cellbench.record import AnyLine, Cost, Level, Measurement, Settings, Speed, Timings, Trial
from cellbench.store.journal import environments, measurements, speeds, trials

JOB = [
    "level", "level_digest", "cell", "cell_source", "hidden", "budget_steps", "device", "dtype",
    "unroll", "checkpoint", "depth", "block", "dropout", "bidirectional", "match", "budget",
]  # fmt: skip
"""The columns that name a job: trials and measurements of one job agree in all of them."""


def trials_frame(lines: Iterable[AnyLine]) -> pd.DataFrame:
    """Return a row for each unit's newest trial, in the order the units were first tried.

    `learning_rate` is that of a grid, and 0 for the level's own; it is not in `JOB`, since a job
    is measured once for all of its rates. `validation_skill` is that of the last look, None if it
    was not finite or there was none: it says nothing of the test, and what is selected is
    selected by it.
    """
    return pd.DataFrame([_trial(trial) for trial in trials(lines)])


def measurements_frame(lines: Iterable[AnyLine]) -> pd.DataFrame:
    """Return a row for each job's newest measurement in each environment."""
    lines = list(lines)
    known = environments(lines)
    rows = []
    for found in measurements(lines):
        row = _measurement(found)
        env = known.get(found.env)
        row["machine"] = machine(env.key) if env else ""
        row["machine_name"] = machine_name(env.key) if env else "unknown machine"
        rows.append(row)
    return pd.DataFrame(rows)


def speeds_frame(lines: Iterable[AnyLine]) -> pd.DataFrame:
    """Return a row for each timed block of each speed; one row for a speed that has none."""
    return pd.DataFrame([row for speed in speeds(lines) for row in _speed(speed)])


def machine(key: dict[str, str]) -> str:
    """Write the facts that must agree before two speeds are compared."""
    return "; ".join(f"{name}={text}" for name, text in sorted(key.items()))


def machine_name(key: dict[str, str]) -> str:
    """Write those that a reader asks for first."""
    threads = f"{key['threads']} thread{'' if key['threads'] == '1' else 's'}"
    return f"{key['device']}, {threads}, torch {key['torch']}, {key['dtype']}"


def _job(cell: str, source: str, level: Level, settings: Settings) -> dict[str, Any]:
    return {
        "level": level.id,
        "level_digest": level.digest,
        "cell": cell,
        "cell_source": source,
        "hidden": settings.hidden,
        "budget_steps": settings.steps,
        "device": settings.device,
        "dtype": settings.dtype,
        "unroll": settings.unroll,
        "checkpoint": settings.checkpoint,
        "depth": settings.depth,
        "block": settings.block,
        "dropout": settings.dropout,
        "bidirectional": settings.bidirectional,
        "match": settings.match,
        "budget": settings.budget,
        "metric": level.metric,
        "trivial": level.trivial,
        "perfect": level.perfect,
        "solved_mark": level.solved,
        "batch": level.batch,
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "unit_id": trial.unit_id,
        **_job(trial.cell, trial.cell_source, trial.level, trial.settings),
        "learning_rate": trial.settings.learning_rate,
        "seed": trial.seed,
        "status": trial.status.value,
        "error": f"{trial.error.type}: {trial.error.message}" if trial.error else "",
        "where": trial.error.where if trial.error else "",
        "steps": trial.steps,
        "steps_to_solve": trial.steps_to_solve,
        "sequences_to_solve": trial.sequences_to_solve,
        "validation_skill": _validation_skill(trial),
        "test_metric": trial.test_metric,
        "test_loss": trial.test_loss,
        "skill": trial.skill,
        "exact_rate": trial.exact_rate,
        "ladder": list(trial.ladder),
        "train_s": trial.train_s,
        "unrolled": trial.unrolled,
        "captured": trial.captured,
        "stacked": trial.stacked,
        "fallback": trial.fallback,
        "started_at": trial.started_at,
        "commit": trial.commit,
        "env": trial.env,
        "run_id": trial.run_id,
    }


def _validation_skill(trial: Trial) -> float | None:
    if not trial.curve:
        return None
    last, level = trial.curve[-1], trial.level
    if last.metric is None or last.train_loss is None:  # either is enough to have diverged
        return None
    return (last.metric - level.trivial) / (level.perfect - level.trivial)


def _measurement(found: Measurement) -> dict[str, Any]:
    parameters, memory = found.parameters, found.memory
    return {
        "measurement_id": found.measurement_id,
        **_job(found.cell, found.cell_source, found.level, found.settings),
        "status": found.status.value,
        "error": f"{found.error.type}: {found.error.message}" if found.error else "",
        "unrolled": found.unrolled,
        "fallback": found.fallback,
        "compile_s": found.compile_s,
        "parity_error": found.parity_error,
        "parity_ok": found.parity_ok,
        "cell_parameters": parameters.cell if parameters else None,
        "hyper_parameters": parameters.hyper if parameters else None,
        "model_parameters": parameters.model if parameters else None,
        "operations": found.operations,
        "state_bytes": found.state_bytes,
        "state_grows": found.state_grows,
        **_timings("train", found.train_step),
        **_timings("inference", found.inference),
        "streaming_us": found.streaming.call_s * 1e6 if found.streaming else None,
        "static_bytes": memory.static_bytes if memory else None,
        "peak_allocated_bytes": memory.peak_allocated_bytes if memory else None,
        "peak_reserved_bytes": memory.peak_reserved_bytes if memory else None,
        "process_bytes": memory.process_bytes if memory else None,
        "warnings": list(found.warnings),
        "env": found.env,
        "run_id": found.run_id,
    }


def _timings(name: str, timings: Timings | None) -> dict[str, Any]:
    return {
        f"{name}_step_s" if name == "train" else f"{name}_s": timings.call_s if timings else None,
        f"{name}_sequences_per_s": timings.sequences_per_s if timings else None,
    }


def _speed(speed: Speed) -> list[dict[str, Any]]:
    sizes = speed.sizes
    common = {
        "speed_id": speed.speed_id,
        "cell": speed.cell,
        "cell_source": speed.cell_source,
        **{name: getattr(sizes, name) for name in ("time", "batch", "input", "hidden")},
        "device": speed.device,
        "dtype": speed.dtype,
        "unroll": speed.unroll,
        "unrolled": speed.unrolled,
        "compile_s": speed.compile_s,
        "parity_error": speed.parity_error,
        "parity_ok": speed.parity_ok,
        "status": speed.status.value,
        "error": f"{speed.error.type}: {speed.error.message}" if speed.error else "",
        "env": speed.env,
        "run_id": speed.run_id,
    }
    blocks = [row for name, cost in speed.costs.items() for row in _blocks(name, cost)]
    return [{**common, **block} for block in blocks or [dict.fromkeys(BLOCK)]]


BLOCK = ("call", "clock", "block", "block_s", "calls_per_block", "operations", "bytes")


def _blocks(name: str, cost: Cost) -> list[dict[str, Any]]:
    timings, work = cost.timings, cost.work
    clocks = {
        "wall": timings.blocks_s,
        "device": timings.device_blocks_s,
        "replay": timings.replay_blocks_s,
    }
    rows = [
        (name, clock, n, block_s, timings.calls_per_block, work.operations, work.bytes)
        for clock, blocks_s in clocks.items()
        for n, block_s in enumerate(blocks_s)
    ]
    return [dict(zip(BLOCK, row, strict=True)) for row in rows]
