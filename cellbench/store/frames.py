"""Records as pandas tables: a row a record, a column a fact."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from cellbench.record import AnyLine, Level, Measurement, Settings, Timings, Trial
from cellbench.store.journal import environments, measurements, trials

JOB = [
    "level", "level_digest", "cell", "cell_source", "hidden", "budget_steps", "device", "dtype",
    "unroll", "checkpoint",
]  # fmt: skip
"""The columns that name a job: trials and measurements of one job agree in all of them."""


def trials_frame(lines: Iterable[AnyLine]) -> pd.DataFrame:
    """Return a row for each unit's newest trial, in the order the units were first tried."""
    return pd.DataFrame([_trial(trial) for trial in trials(lines)])


def measurements_frame(lines: Iterable[AnyLine]) -> pd.DataFrame:
    """Return a row for each job's newest measurement in each environment."""
    lines = list(lines)
    known = environments(lines)
    rows = []
    for found in measurements(lines):
        row = _measurement(found)
        env = known.get(found.env)
        row["machine"] = "; ".join(f"{k}={v}" for k, v in sorted(env.key.items())) if env else ""
        row["machine_name"] = _machine_name(env.key) if env else "unknown machine"
        rows.append(row)
    return pd.DataFrame(rows)


def _machine_name(key: dict[str, str]) -> str:
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
        "seed": trial.seed,
        "status": trial.status.value,
        "error": f"{trial.error.type}: {trial.error.message}" if trial.error else "",
        "where": trial.error.where if trial.error else "",
        "steps": trial.steps,
        "steps_to_solve": trial.steps_to_solve,
        "sequences_to_solve": trial.sequences_to_solve,
        "test_metric": trial.test_metric,
        "test_loss": trial.test_loss,
        "skill": trial.skill,
        "exact_rate": trial.exact_rate,
        "train_s": trial.train_s,
        "started_at": trial.started_at,
        "commit": trial.commit,
        "env": trial.env,
        "run_id": trial.run_id,
    }


def _measurement(found: Measurement) -> dict[str, Any]:
    parameters, memory = found.parameters, found.memory
    return {
        "measurement_id": found.measurement_id,
        **_job(found.cell, found.cell_source, found.level, found.settings),
        "status": found.status.value,
        "error": f"{found.error.type}: {found.error.message}" if found.error else "",
        "unrolled": found.unrolled,
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
