"""What a table says of each cell on each level: one row a job and machine.

Rows stand in one table only if they can be compared: same level, digest, width (or what was
matched in its place), blocks, budget, device, dtype, checkpointing and learning rates tried; speeds
besides that only if the machine's comparability key is the same.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
import pandas as pd

from cellbench.errors import NothingMeasuredError
from cellbench.record import AnyLine, Measurement, Rung, Status, Trial
from cellbench.report.rates import Choice, choose
from cellbench.stats import median_to_solve, middle_and_range, reach
from cellbench.store.frames import JOB, measurements_frame, trials_frame

ENOUGH = 0.9
"""The skill from which on a length counts as mastered."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What the seeds of a row come to at one length of a ladder.

    Attributes:
        length: As the generator counts it.
        seeds: Those that have a result there.
        skill: Their median; `skill_low` and `skill_high` the range.
        metric: Their median.
    """

    length: int
    seeds: int
    skill: float
    skill_low: float
    skill_high: float
    metric: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One cell on one level.

    Attributes:
        id: Unique in a report.
        seeds: Trials there are, failed ones included.
        solved: Seeds that reached the mark on validation.
        trained: Whether any trial took a training step: a baseline takes none.
        failures: Status of each trial that failed, counted.
        skill: Median over the seeds that have a test metric; `skill_low` and `skill_high`
            the range. 0 is the best that can be done without memory, 1 is perfect.
        ladder: The same at other lengths, shortest first.
        reach: Longest of them up to which the median skill stays above `ENOUGH`, those with a
            result at none counted as failed; None if it does at none.
        steps_to_solve: Median over all seeds; None if half or more did not solve.
        train_sequences_per_s: Of whole training steps, at the median timed block.
        inference_sequences_per_s: Likewise, of forward passes.
        streaming_us: Microseconds for one step of one sequence.
        peak_allocated_bytes: Most tensor memory of a training step, static included.
        static_bytes: Parameters, gradients, optimiser state.
        cell_parameters: In the cell; `hyper_parameters` of them make weights for the rest.
        operations: Floating-point operations of matrix products a step and sequence.
        state_bytes: Of one sequence, at the end.
        unrolled: How the cell was carried through time when it was measured; where it was not,
            when it was trained. `parity_error` and `compile_s` are of the measurement.
        stacked: Most seeds that were trained at once as one model.
        machine: The facts that must agree before two speeds are compared.
        learning_rate: Of a grid, the one chosen on validation, of which the row's results are;
            0 where each level's own was used.
        rates_tried: All of that grid, rising.
        window_decades: Decades of neighbouring rates that are about as good: at least so wide.
        window_most_decades: It is less wide than this; None if it touches an edge of the grid.
        notes: What a reader must know to believe the row.
    """

    id: str
    level: str
    cell: str
    metric: str
    trivial: float
    solved_mark: float
    hidden: int
    budget_steps: int
    batch: int
    device: str
    dtype: str
    unroll: str
    checkpoint: bool
    depth: int
    block: str
    dropout: float
    bidirectional: bool
    match: str
    budget: int
    level_digest: str
    cell_source: str
    seeds: int = 0
    solved: int = 0
    trained: bool = False
    failures: dict[str, int] = {}
    skill: float | None = None
    skill_low: float | None = None
    skill_high: float | None = None
    test_metric: float | None = None
    exact_rate: float | None = None
    ladder: tuple[Step, ...] = ()
    reach: int | None = None
    steps_to_solve: float | None = None
    sequences_to_solve: float | None = None
    train_sequences_per_s: float | None = None
    inference_sequences_per_s: float | None = None
    streaming_us: float | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    process_bytes: int | None = None
    static_bytes: int | None = None
    cell_parameters: int | None = None
    hyper_parameters: int | None = None
    model_parameters: int | None = None
    operations: int | None = None
    state_bytes: int | None = None
    state_grows: bool = False
    unrolled: str = ""
    parity_error: float | None = None
    compile_s: float | None = None
    stacked: int = 1
    machine: str = ""
    machine_name: str = ""
    learning_rate: float = 0.0
    rates_tried: tuple[float, ...] = ()
    window_decades: float | None = None
    window_most_decades: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def matched(self) -> float | None:
        """What it has of what was matched, over the budget; None if it was not measured."""
        sizes = {
            "params": self.cell_parameters,
            "state": self.state_bytes,
            "operations": self.operations,
        }
        has = sizes.get(self.match)
        return has / self.budget if has is not None and self.budget else None


MEASURED = (
    "train_sequences_per_s", "inference_sequences_per_s", "streaming_us", "peak_allocated_bytes",
    "peak_reserved_bytes", "process_bytes", "static_bytes", "cell_parameters",
    "hyper_parameters", "model_parameters", "operations", "state_bytes", "state_grows",
    "unrolled", "parity_error", "compile_s", "machine", "machine_name",
)  # fmt: skip
"""Columns that a row takes over from a measurement."""


def make_rows(lines: Iterable[AnyLine], cells: Sequence[str] = ()) -> list[Row]:
    """Return a row for each job, and each machine that it was measured on.

    A job that was trained at a grid of learning rates is a row of the one that is best on
    validation; what was trained at the level's own rate besides is a row of its own.

    Args:
        lines: Of one or more journals.
        cells: Come first, in this order; then the others, by name.

    Raises:
        NothingMeasuredError: There is no trial and no measurement.
    """
    lines = list(lines)
    if not any(isinstance(line, Trial | Measurement) for line in lines):
        raise NothingMeasuredError("There is no result to report; `cellbench run` makes some.")
    tried, measured = _by_job(trials_frame(lines)), _by_job(measurements_frame(lines))
    jobs = list(dict.fromkeys([*tried, *measured]))
    rows = [
        row
        for job in jobs
        for part in _apart(tried.get(job, []))
        for row in _rows_of(part, measured.get(job, []))
    ]
    places = {cell: place for place, cell in enumerate(cells)}
    rows.sort(key=lambda row: (places.get(row.cell, len(places)), row.cell))
    return _with_unique_ids(rows)


def tables(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield groups of rows that may stand in one table, in order of their level's name."""

    def group(row: Row) -> tuple[Any, ...]:
        width = row.hidden if not row.match else 0
        built = (row.depth, row.block, row.dropout, row.bidirectional, row.match, row.budget)
        settings = (width, *built, row.budget_steps, row.device, row.dtype, row.checkpoint)
        return (*_naturally(row.level), row.level_digest, *settings)

    stepped = sorted({(group(row), row.rates_tried) for row in rows if not _took_no_step(row)})
    grids = dict(reversed(stepped))  # of several, the first: that of the level's own rate

    def group_and_grid(row: Row) -> tuple[Any, ...]:
        found = group(row)  # a row that no rate decides, of a baseline, joins those of a grid
        return (*found, grids.get(found, ()) if _took_no_step(row) else row.rates_tried)

    machines = {group_and_grid(row): row.machine for row in rows if row.machine}

    def group_or_only(row: Row) -> tuple[Any, ...]:
        found = group_and_grid(row)  # a row without a measurement joins those that have one
        return (*found, row.machine or machines.get(found, ""))

    for _, members in groupby(sorted(rows, key=group_or_only), key=group_or_only):
        yield list(members)


def _took_no_step(row: Row) -> bool:
    return not row.trained and not row.failures


def _naturally(level: str) -> tuple[str, str, int]:
    """Sort `delay-30` before `delay-100`."""
    stem, _, number = level.rpartition("-")
    return (stem, "", int(number)) if number.isdigit() else (level, "", 0)


def _by_job(frame: pd.DataFrame) -> dict[tuple[Any, ...], list[dict[Any, Any]]]:
    if frame.empty:
        return {}
    frame = frame.astype(object).where(frame.notna(), None)
    groups = frame.groupby(JOB, sort=False, dropna=False)
    return {tuple(key): group.to_dict("records") for key, group in groups}


def _apart(tried: list[dict[Any, Any]]) -> Iterator[list[dict[Any, Any]]]:
    """Yield the trials at the level's own learning rate, and those at the rates of a grid."""
    own = [trial for trial in tried if not trial["learning_rate"]]
    grid = [trial for trial in tried if trial["learning_rate"]]
    yield from [part for part in (own, grid) if part] or [[]]


def _rows_of(tried: list[dict[Any, Any]], measured: list[dict[Any, Any]]) -> Iterator[Row]:
    choice = choose(tried) if tried and tried[0]["learning_rate"] else None
    tried = choice.trials if choice else tried
    learned = _learned(tried) | _chosen(choice)
    for found in measured or [{}]:
        source = found or tried[0]
        notes = (
            *(choice.notes if choice else ()),
            *_trial_notes(tried),
            *_fallbacks(tried, found),
            *_measurement_notes(found),
        )
        yield Row(
            id=f"{source['cell']} @ {source['level']}",
            **{name: source[name] for name in JOB},
            **{n: source[n] for n in ("metric", "trivial", "solved_mark", "batch")},
            **(learned | {name: found[name] for name in MEASURED if found}),
            notes=notes,
        )


def _chosen(choice: Choice | None) -> dict[str, Any]:
    if choice is None:
        return {}
    found = choice.window
    return {
        "learning_rate": choice.rate,
        "rates_tried": choice.rates,
        "window_decades": found.decades if found else None,
        "window_most_decades": found.most_decades if found and not found.is_open else None,
    }


def _learned(tried: list[dict[Any, Any]]) -> dict[str, Any]:
    def column(name: str) -> list[Any]:
        return [trial[name] for trial in tried if trial[name] is not None]

    skill = middle_and_range(column("skill")) or (None, None, None)
    bad = Counter(t["status"] for t in tried if t["status"] != Status.OK.value)
    metric, exact = middle_and_range(column("test_metric")), middle_and_range(column("exact_rate"))
    ladder = _ladder(column("ladder"))
    return {
        "ladder": ladder,
        "reach": reach([(step.length, step.skill) for step in ladder], enough=ENOUGH),
        "seeds": len(tried),
        "solved": len(column("steps_to_solve")),
        "trained": any(column("steps")),
        "failures": dict(bad),
        "skill": skill[0],
        "skill_low": skill[1],
        "skill_high": skill[2],
        "test_metric": metric[0] if metric else None,
        "exact_rate": exact[0] if exact else None,
        "steps_to_solve": median_to_solve([t["steps_to_solve"] for t in tried]),
        "sequences_to_solve": median_to_solve([t["sequences_to_solve"] for t in tried]),
        "unrolled": next((t["unrolled"] for t in tried if t["unrolled"]), ""),
        "stacked": max((t["stacked"] for t in tried), default=1),
    }


def _ladder(ladders: Sequence[Sequence[Rung]]) -> tuple[Step, ...]:
    """Return what the seeds come to at each length; a seed without a result there knows nothing."""
    found: dict[int, list[Rung]] = {}
    for rung in (rung for ladder in ladders for rung in ladder):
        found.setdefault(rung.length, []).append(rung)
    return tuple(_step(length, rungs) for length, rungs in sorted(found.items()))


def _step(length: int, rungs: Sequence[Rung]) -> Step:
    skills = [0.0 if rung.skill is None else rung.skill for rung in rungs]
    metrics = [rung.metric for rung in rungs if rung.metric is not None]
    middle, low, high = middle_and_range(skills) or (math.nan,) * 3
    return Step(
        length=length,
        seeds=len(metrics),
        skill=middle,
        skill_low=low,
        skill_high=high,
        metric=statistics.median(metrics) if metrics else math.nan,
    )


def _trial_notes(tried: list[dict[Any, Any]]) -> Iterator[str]:
    """Say why trials failed, each reason once."""
    failed = [t for t in tried if t["status"] != Status.OK.value]
    for (status, error), count in Counter((t["status"], t["error"]) for t in failed).items():
        where = next(t["where"] for t in failed if t["error"] == error)
        yield f"{count} of {len(tried)} seeds {status}: {error}" + (f" ({where})" if where else "")


def _fallbacks(tried: list[dict[Any, Any]], found: dict[Any, Any]) -> Iterator[str]:
    """Say why seeds were not trained, or the cell not measured, in a faster way; each once."""
    reasons = Counter(trial["fallback"] for trial in tried if trial["fallback"])
    for reason, count in reasons.items():
        yield reason if count == len(tried) else f"{count} of {len(tried)} seeds {reason}"
    measured = found.get("fallback", "")
    told = (*reasons, *found.get("warnings", ()))
    if measured and not any(measured in text for text in told):
        yield measured


def _measurement_notes(found: dict[Any, Any]) -> Iterator[str]:
    if found and found["status"] != Status.OK.value:
        yield f"not measured: {found['status']}: {found['error']}"
    yield from found.get("warnings", ())


def _with_unique_ids(rows: list[Row]) -> list[Row]:
    """Lengthen ids that stand for several rows by the settings in which these differ."""
    for name in (*JOB[4:], "level_digest", "cell_source", "learning_rate"):
        counts = Counter(row.id for row in rows)
        kinds = {row.id: {getattr(r, name) for r in rows if r.id == row.id} for row in rows}
        rows = [
            msgspec.structs.replace(row, id=f"{row.id}, {name}={getattr(row, name)}")
            if counts[row.id] > 1 and len(kinds[row.id]) > 1
            else row
            for row in rows
        ]
    seen: Counter[str] = Counter()
    unique = []
    for row in rows:
        seen[row.id] += 1
        suffix = f", machine {seen[row.id]}" if seen[row.id] > 1 else ""
        unique.append(msgspec.structs.replace(row, id=row.id + suffix))
    return unique
