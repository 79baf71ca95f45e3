"""What gates and runs measured, in one form: raw values, of which a history's points are made."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cellbench.errors import StoreError
from cellbench.record import COSTS, AnyLine, Environment, Measurement, Settings, Speed, Status
from cellbench.report.gate_data import read_gate_report
from cellbench.store.folder import Folder
from cellbench.store.journal import Journal
from cellbench.verdicts import Block, Facts, GateReport, Kind, Launch, Verdict

TIMED = ("train_step", "inference", "streaming")
"""The times of a measurement."""

Lines = Iterable[Any]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One value of one metric of one cell, from one launch; see `HistoryPoint` for the names.

    Attributes:
        commit: As it was recorded, with what marks changed files behind it.
        launch: Values of one launch may be divided by each other.
    """

    run_id: str
    commit: str
    env: str
    cell: str
    metric: str
    at: str = ""
    unit: str = ""
    exact: bool = False
    launch: int = 0
    value: float | None
    error: str = ""
    measured_at: str = ""


@dataclass(frozen=True)
class Source:
    """All that was read from one place.

    Attributes:
        control: Cell that a gate's report names as the same code on both sides; "" if none.
        void: Why the report says that nothing in it may be believed.
    """

    samples: tuple[Sample, ...]
    environments: dict[str, Environment]
    control: str = ""
    void: str = ""


def read_source(path: Path) -> Source:
    """Read a results folder, a journal of a run or a gate, or a gate's report in JSON.

    Raises:
        StoreError: It is none of these, or damaged.
    """
    if path.suffix == ".json":
        return _of_report(path)
    lines = _read_lines(_journal_in(path))
    found = {line.digest: line for line in lines if isinstance(line, Environment)}
    return Source((*samples_of_records(lines), *samples_of_gate(lines)), found)


def _journal_in(path: Path) -> Path:
    if not path.is_dir():
        return path
    usual, others = Folder(path).journal.path, list(path.glob("*.jsonl"))
    return others[0] if len(others) == 1 and not usual.exists() else usual


def _read_lines(path: Path) -> list[Any]:
    if not path.exists():
        raise StoreError(
            f"There are no results in {path}. Name a folder that `cellbench run` wrote to, a "
            ".jsonl file, or a gate's report in JSON."
        )
    return list(Journal(path, AnyLine | Launch | Facts))


def _of_report(path: Path) -> Source:
    report = read_gate_report(path)
    beside = (path.parent / report.journal, Path(report.journal))  # or as the gate was told
    journal = next((one for one in beside if one.is_file()), None)
    if journal is not None and not report.void:
        found = read_source(journal)
        return Source(found.samples, found.environments, report.control)
    key = report.calibration.key if report.calibration else {"machine": report.machine}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    machine = Environment(digest=digest, key=key, facts={})
    known = {machine.digest: machine} if report.calibration or report.machine else {}
    return Source(tuple(_findings(report, machine.digest)), known, report.control, report.void)


def _findings(report: GateReport, env: str) -> Iterator[Sample]:
    for found in report.findings:
        gone = found.verdict in {Verdict.FAILED, Verdict.MISSING}
        if found.kind is Kind.ACCURACY or (found.head is None and not gone):
            continue
        yield Sample(
            run_id=report.run_id,
            commit=report.head_commit,
            env=env,
            cell=found.cell,
            metric=found.metric,
            unit=found.unit,
            exact=found.kind is Kind.EXACT,
            value=None if gone else found.head,
            error=(found.detail or found.verdict.value) if gone else "",
            measured_at=report.started_at,
        )


def samples_of_gate(lines: Lines) -> Iterator[Sample]:
    """Yield what head took and was counted to have; a cell that failed has no value anywhere."""
    lines = list(lines)
    launches = [line for line in lines if isinstance(line, Launch)]
    for launch in launches:
        for block in launch.blocks:
            yield _of_block(launch, block)
    for facts in (line for line in lines if isinstance(line, Facts) and line.side == "head"):
        yield from _of_facts(facts, [one for one in launches if one.run_id == facts.run_id])


def _of_block(launch: Launch, block: Block) -> Sample:
    kept = [s for n, s in enumerate(block.head_s) if n not in block.dropped]
    return Sample(
        run_id=launch.run_id,
        commit=launch.head,
        env=launch.env,
        cell=block.cell,
        metric=block.metric,
        unit="s",
        launch=launch.number,
        value=statistics.median(kept) / block.calls if kept else None,
        error="" if kept else "every round was disturbed",
        measured_at=launch.started_at,
    )


def _of_facts(facts: Facts, launches: list[Launch]) -> Iterator[Sample]:
    common: dict[str, Any] = {
        "run_id": facts.run_id,
        "commit": launches[0].head if launches else facts.commit,
        "env": launches[0].env if launches else "",
        "cell": facts.cell,
        "measured_at": launches[0].started_at if launches else "",
    }
    for metric, value in facts.values.items():
        yield Sample(**common, metric=metric, unit=_unit(metric), exact=True, value=value)
    if facts.error is not None:
        error = f"{facts.error.type}: {facts.error.message}"
        metrics = {block.metric for launch in launches for block in launch.blocks}
        for metric in sorted(metrics):
            yield Sample(**common, metric=metric, unit="s", value=None, error=error)


def _unit(metric: str) -> str:
    return next((unit for unit in ("bytes", "operations") if metric.endswith(unit)), "")


def samples_of_records(lines: Iterable[AnyLine | Launch | Facts]) -> Iterator[Sample]:
    """Yield what measurements and speeds took and have."""
    for line in lines:
        if isinstance(line, Measurement):
            yield from _of_measurement(line)
        elif isinstance(line, Speed):
            yield from _of_speed(line)


def _of_measurement(found: Measurement) -> Iterator[Sample]:
    common = _common(found) | {"at": _setting(found.level.id, found.level.digest, found.settings)}
    for metric in TIMED:
        timings = getattr(found, metric)
        value = timings.call_s if timings else None
        error = "" if timings else _why(found)
        yield Sample(**common, metric=metric, unit="s", value=value, error=error)
    parameters, memory = found.parameters, found.memory
    sizes = {
        "cell_parameters": (parameters.cell if parameters else None, "", True),
        "operations": (found.operations, "operations", True),
        "state_bytes": (found.state_bytes, "bytes", True),
        "peak_allocated_bytes": (memory.peak_allocated_bytes if memory else None, "bytes", False),
    }
    for metric, (size, unit, exact) in sizes.items():
        if size is not None:
            yield Sample(**common, metric=metric, unit=unit, exact=exact, value=size)


def _of_speed(found: Speed) -> Iterator[Sample]:
    sizes = msgspec.structs.asdict(found.sizes)
    at = ", ".join(f"{name} {size}" for name, size in sizes.items())
    common = _common(found) | {"at": f"{at}, {found.device}, {found.dtype}, {found.unroll}"}
    for metric in COSTS:
        cost = found.costs.get(metric)
        value, error = (cost.timings.call_s, "") if cost else (None, _why(found))
        yield Sample(**common, metric=metric, unit="s", value=value, error=error)


def _common(found: Measurement | Speed) -> dict[str, Any]:
    return {
        "run_id": found.run_id,
        "commit": found.commit,
        "env": found.env,
        "cell": found.cell,
        "measured_at": found.started_at,
    }


def _why(found: Measurement | Speed) -> str:
    if found.error is not None:
        return f"{found.error.type}: {found.error.message}"
    if found.status is Status.OK and not found.parity_ok:
        return "another way through time gave other outputs"
    return found.status.value


def _setting(level: str, digest: str, settings: Settings) -> str:
    """Write what a job is besides its cell: what is not alike there is not the same metric."""
    width = f"{settings.match} {settings.budget}" if settings.match else f"hidden {settings.hidden}"
    built = [settings.block, f"depth {settings.depth}"] if settings.depth > 1 else []
    built += ["bidirectional"] if settings.bidirectional else []
    built += [f"dropout {settings.dropout:g}"] if settings.dropout else []
    built += ["checkpointed"] if settings.checkpoint else []
    how = [settings.device, settings.dtype, settings.unroll]
    return ", ".join([f"{level} ({digest[:8]})", width, *built, *how])
