"""pytest-benchmark's JSON: for `pytest-benchmark compare`, and all that read it.

Timings only: what was learned, and memory, is in `extra_info` or not there at all. A round is a
timed block, its iterations the calls in it; all times are seconds a call, by the wall clock.

Source: pytest-benchmark 5.3, what its `--benchmark-json` writes; the tests hold every number to
its own statistics.
"""

from __future__ import annotations

import json
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from cellbench.errors import NothingMeasuredError
from cellbench.record import AnyLine, Speed
from cellbench.report.export.ask import Ask
from cellbench.report.export.points import name_of, one_machine
from cellbench.report.export.values import Timed, clocks, timed, timings_of
from cellbench.store.journal import environments

VERSION = "5.3.1"
"""Of pytest-benchmark, whose format this is."""


def export(lines: Sequence[AnyLine], ask: Ask) -> dict[str, bytes]:  # noqa: ARG001 -- nothing to choose
    """Return one file, as if pytest-benchmark had written it.

    Raises:
        NothingMeasuredError: Nothing was timed.
        IncomparableError: The records are of machines that may not be compared.
    """
    machine, known = one_machine(lines), environments(lines)
    records = timed(lines)
    found: dict[str, Any] = {}
    for record in records:
        key = known[record.env].key if record.env in known else {}
        found |= {one["fullname"]: one for one in _benchmarks(record, key)}
    if not found:
        raise NothingMeasuredError("There is no timing to export; `cellbench perf` makes some.")
    facts = next((known[one.env].facts for one in records if one.env in known), {})
    output = {
        "machine_info": _machine_info(machine, facts),
        "commit_info": _commit_info(records),
        "benchmarks": list(found.values()),
        "datetime": max(record.started_at for record in records),
        "version": VERSION,
    }
    text = json.dumps(output, indent=4, allow_nan=False) + "\n"
    return {"pytest-benchmark.json": text.encode()}


def _machine_info(key: dict[str, str], facts: dict[str, Any]) -> dict[str, Any]:
    machine, python = facts.get("machine", {}), facts.get("python", "")
    return {
        "node": "",  # whose machine it is is nobody's business
        "processor": machine.get("cpu", ""),
        "machine": machine.get("architecture", ""),
        "python_compiler": "",
        "python_implementation": "CPython",
        "python_implementation_version": python,
        "python_version": python,
        "python_build": ["", ""],
        "release": machine.get("release", ""),
        "system": machine.get("system", ""),
        "cpu": {"brand_raw": machine.get("cpu", ""), "count": machine.get("cpus")},
        "cellbench": key,
    }


def _commit_info(records: Sequence[Timed]) -> dict[str, Any]:
    newest = max(records, key=lambda record: record.started_at)
    clean = newest.commit.removesuffix("-dirty").removesuffix("+")
    return {
        "id": clean or "unversioned",
        "time": None,
        "author_time": None,
        "dirty": clean != newest.commit,
        "project": "cellbench",
        "branch": "(unknown)",
    }


def _benchmarks(record: Timed, key: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield an entry for each kind of call."""
    name = name_of(record)
    what = name.removeprefix(record.cell).strip()
    for metric, timings in timings_of(record).items():
        calls_s = clocks(metric, timings)[f"{metric}_s"]
        yield {
            "group": f"{metric} {what}",
            "name": f"{metric}[{name}]",
            "fullname": f"cellbench::{metric}[{name}]",
            "params": {"cell": record.cell},
            "param": name,
            "extra_info": _extra_info(record, metric, key),
            "options": {"warmup": True},
            "stats": stats(calls_s) | {"iterations": timings.calls_per_block},
        }


def _extra_info(record: Timed, metric: str, key: dict[str, str]) -> dict[str, Any]:
    about: dict[str, Any] = {
        "cell": record.cell,
        "cell_source": record.cell_source,
        "metric": metric,
        "unrolled": record.unrolled,
        "parity_error": record.parity_error,
        "env": record.env,
        "key": key,
    }
    if isinstance(record, Speed):
        return {**about, **msgspec.to_builtins(record.sizes), "dtype": record.dtype}
    return about | {
        "task": record.level.id,
        "task_digest": record.level.digest,
        "settings": msgspec.to_builtins(record.settings),
        "parameters": msgspec.to_builtins(record.parameters),
        "memory": msgspec.to_builtins(record.memory),
    }


def stats(data: Sequence[float]) -> dict[str, Any]:
    """Return what pytest-benchmark keeps of the seconds a call of each round.

    A quartile is the median of a half. Of an odd number of rounds it is the mean of two: with the
    middle round in both halves, and in neither.
    """
    ordered, count = sorted(data), len(data)
    mean, deviation = statistics.mean(data), statistics.stdev(data) if count > 1 else 0
    low, high = (_median_of_half(half) for half in (ordered, ordered[::-1]))
    near, far = low - 1.5 * (high - low), high + 1.5 * (high - low)
    beyond = sum(abs(one - mean) > deviation for one in data)
    outside = sum(not near <= one <= far for one in data)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": deviation,
        "rounds": count,
        "median": statistics.median(ordered),
        "iqr": high - low,
        "q1": low,
        "q3": high,
        "iqr_outliers": outside,
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{outside}",
        "ld15iqr": ordered[bisect_left(ordered, near)],
        "hd15iqr": ordered[bisect_right(ordered, far) - 1],
        "ops": 1 / mean if mean else 0,
        "total": sum(data),
        "data": list(data),
    }


def _median_of_half(ordered: Sequence[float]) -> float:
    """Return the quartile at the beginning of `ordered`."""
    count = len(ordered)
    if count == 1:
        return ordered[0]
    without, within = ordered[: count // 2], ordered[: (count + 1) // 2]
    return (statistics.median(without) + statistics.median(within)) / 2
