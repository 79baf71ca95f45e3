"""What a dashboard draws: one number a benchmark and measure, under a name that stays.

A name is made of what was asked for and nothing else, so it is the same in every run, whatever
else is in the journal. Seeds of one job are one point; costs and speeds are theirs already.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from cellbench.errors import IncomparableError, NothingMeasuredError
from cellbench.record import (
    AnyLine,
    Level,
    Settings,
    Speed,
    Status,
    Trial,
)
from cellbench.report.export.values import Timed, Value, finite, timed, values
from cellbench.stats import median_to_solve
from cellbench.store.journal import environments, trials

NAMED = ("hidden", "steps", "device")
"""Settings that a name always has; it has the others where they are not the usual ones."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One number.

    Attributes:
        benchmark: Cell, level or sizes, settings.
        measure: What was measured, with its unit in the name.
        low: And `high`: of times, an interval for the median; of skill, the range of seeds.
        better: "higher" or "lower".
        note: How many samples, and what `low` and `high` are.
    """

    benchmark: str
    measure: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: str = ""
    note: str = ""


def points(lines: Iterable[AnyLine]) -> list[Point]:
    """Return the points of the records among `lines`; of one measured twice, the newest.

    Raises:
        NothingMeasuredError: No record has a value.
        IncomparableError: They were measured on machines that may not be compared.
    """
    lines = list(lines)
    one_machine(lines)
    found = {(one.benchmark, one.measure): one for one in [*_learned(lines), *_costs(lines)]}
    if not found:
        raise NothingMeasuredError(
            "There is no value to export; `cellbench run` or `cellbench perf` makes some."
        )
    return list(found.values())


def left_out(lines: Iterable[AnyLine]) -> list[str]:
    """Say of each record without a value, or without a speed, what it is and why."""
    lines = list(lines)
    records: list[Trial | Timed] = [*trials(lines), *timed(lines)]
    return [f"{name_of(record)}: {why}" for record in records if (why := _problem(record))]


def name_of(record: Trial | Timed) -> str:
    """Name what was asked for."""
    if isinstance(record, Speed):
        return _speed_name(record)
    return _job_name(record.cell, record.level, record.settings)


def _job_name(cell: str, level: Level, settings: Settings) -> str:
    given, usual = msgspec.to_builtins(settings), Settings(hidden=1, steps=1, device="")
    named = [
        f"{name}={value}"
        for name, value in given.items()
        if name in NAMED or value != getattr(usual, name)
    ]
    return " ".join([cell, level.id, *named])


def _speed_name(speed: Speed) -> str:
    sizes = speed.sizes
    named = [f"T={sizes.time}", f"B={sizes.batch}", f"H={sizes.hidden}"]
    if sizes.input != sizes.hidden:
        named.append(f"input={sizes.input}")
    named.append(f"device={speed.device}")
    usual = {"dtype": "float32", "unroll": "auto"}
    named += [f"{k}={getattr(speed, k)}" for k, v in usual.items() if getattr(speed, k) != v]
    return " ".join([speed.cell, *named])


def _problem(record: Trial | Timed) -> str:
    if record.status is not Status.OK:
        error = record.error
        return record.status.value + (f" ({error.type}: {error.message})" if error else "")
    if isinstance(record, Trial):
        return "" if finite(record.skill) is not None else "it has no skill"
    return "" if record.parity_ok else "; ".join(record.warnings) or "not timed"


# --- from records to points ---------------------------------------------------------------


def _learned(lines: Sequence[AnyLine]) -> Iterator[Point]:
    """Yield skill, share of seeds that solved, and steps they took, for each job."""
    jobs: dict[str, list[Trial]] = {}
    for trial in trials(lines):
        jobs.setdefault(name_of(trial), []).append(trial)
    for name, seeds in jobs.items():
        yield from _of_seeds(name, seeds)


def _of_seeds(name: str, seeds: Sequence[Trial]) -> Iterator[Point]:
    skills = [s for trial in seeds if (s := finite(trial.skill)) is not None]
    if skills:
        yield Point(
            benchmark=name,
            measure="skill",
            value=statistics.median(skills),
            low=min(skills),
            high=max(skills),
            better="higher",
            note=f"median and range of {len(skills)} of {len(seeds)} seeds",
        )
        solved = [trial.steps_to_solve for trial in seeds]
        counted = sum(steps is not None for steps in solved)
        share, note = counted / len(seeds), f"{counted} of {len(seeds)} seeds"
        yield Point(benchmark=name, measure="solved_share", value=share, better="higher", note=note)
        steps = median_to_solve(solved)
        if steps is not None:
            yield Point(
                benchmark=name,
                measure="steps_to_solve",
                value=steps,
                unit="steps",
                better="lower",
                note=f"median of {len(seeds)} seeds, of which {counted} solved",
            )


def _costs(lines: Sequence[AnyLine]) -> Iterator[Point]:
    for record in timed(lines):
        name = name_of(record)
        for value in values([record]):
            point = _point(name, value)
            if point is not None:
                yield point


def _point(name: str, value: Value) -> Point | None:
    if value.value is None:
        return None
    method = f"median of {value.n} blocks; {value.ci_method}" if value.ci_method else ""
    return Point(
        benchmark=name,
        measure=value.metric,
        value=value.value,
        low=value.ci_low,
        high=value.ci_high,
        unit=value.unit,
        better=value.better,
        note=method,
    )


# --- one machine --------------------------------------------------------------------------


def one_machine(lines: Iterable[AnyLine]) -> dict[str, str]:
    """Return the facts that all that was measured shares; {} where no machine is known.

    The dtype may differ: it is a setting, which a name tells.

    Raises:
        IncomparableError: Another fact differs. A chart that joins two machines shows a change
            where there is none.
    """
    lines = list(lines)
    known = environments(lines)
    used = {record.env for record in timed(lines)}
    keys = [known[env].key for env in sorted(used) if env in known]
    facts = dict.fromkeys(fact for key in keys for fact in key)
    differing = {f: sorted({key.get(f, "") for key in keys}) for f in facts}
    differing = {f: found for f, found in differing.items() if len(found) > 1}
    if set(differing) - {"dtype"}:
        listed = ", ".join(f"{f} is {' or '.join(map(repr, v))}" for f, v in differing.items())
        raise IncomparableError(
            f"These results are of machines that may not be compared: {listed}. "
            "Export each machine's alone, or as csv."
        )
    return {fact: keys[0][fact] for fact in facts if fact not in differing}
