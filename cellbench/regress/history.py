"""The history of a project: a journal of points, one for each commit, cell and metric."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellbench.errors import NothingMeasuredError, OptionError, StoreError
from cellbench.regress.commits import Commit
from cellbench.regress.samples import Sample, Source
from cellbench.store.frames import machine
from cellbench.store.journal import Journal, is_torn
from cellbench.verdicts import HistoryLine, HistoryPoint

DEFAULT_HISTORY = Path("results/history.jsonl")

CHANGED_FILES = ("-dirty", "+")
"""What stands behind a commit where files had been changed since, in a run and in a gate."""


@dataclass(frozen=True)
class Appended:
    """What an append did: points that were new, and that were there before."""

    new: int
    known: int


def read_history(path: Path) -> list[HistoryLine]:
    """Return all whole lines, oldest first.

    Raises:
        NothingMeasuredError: There is none.
        StoreError: A line is damaged or newer.
    """
    lines = list(Journal(path, HistoryLine))
    if not any(isinstance(line, HistoryPoint) for line in lines):
        raise NothingMeasuredError(
            f"There is no history in {path}; `cellbench history append` makes one."
        )
    return lines


def require_whole(path: Path) -> None:
    """Raise StoreError if the last line was cut short."""
    if is_torn(path):
        raise StoreError(
            f"{path}: the last line was cut short, so a point is missing. Run `cellbench history "
            "append` again with what was being appended; it takes the rest of the line out."
        )


def append(path: Path, points: Sequence[HistoryPoint], source: Source) -> Appended:
    """Append the points that are not there yet, and the environments that they refer to."""
    journal = Journal(path, HistoryLine)
    lines = list(journal)
    keys = {line.digest: line.key for line in lines if not isinstance(line, HistoryPoint)}
    known = {_identity(line, keys) for line in lines if isinstance(line, HistoryPoint)}
    new = 0
    for point in points:
        if point.env not in keys:
            journal.append(source.environments[point.env])
            keys[point.env] = source.environments[point.env].key
        if _identity(point, keys) not in known:
            known.add(_identity(point, keys))
            journal.append(point)
            new += 1
    return Appended(new, len(points) - new)


def _identity(point: HistoryPoint, keys: dict[str, dict[str, str]]) -> tuple[object, ...]:
    key = machine(keys.get(point.env, {"unknown": point.env}))
    of_what = (point.cell, point.metric, point.at, point.reference)
    return (point.commit, point.dirty, point.run_id, key, *of_what)


def make_points(
    source: Source, reference: str, commits: dict[str, Commit], branch: str
) -> list[HistoryPoint]:
    """Return a point for each run, commit, cell and metric of the source.

    Args:
        reference: Cell whose times others are divided by, if the source has it.
        commits: What git knows of those in the source, by the name that is recorded there.
        branch: That they are on.

    Raises:
        OptionError: A sample does not say of which commit it is, or on which machine it was made.
    """
    groups: dict[tuple[object, ...], list[Sample]] = {}
    for sample in source.samples:
        groups.setdefault(_job(sample, sample.cell), []).append(sample)
    points = []
    for samples in groups.values():
        first = samples[0]
        _check(first, source)
        others = [] if first.exact else groups.get(_job(first, reference), [])
        name, dirty = split_commit(first.commit)
        known = commits.get(name)
        values = tuple(s.value for s in samples if s.value is not None and math.isfinite(s.value))
        points.append(
            HistoryPoint(
                run_id=first.run_id,
                commit=known.id if known else name,
                committed_at=known.committed_at if known else "",
                branch=branch,
                dirty=dirty,
                cell=first.cell,
                metric=first.metric,
                at=first.at,
                unit=first.unit,
                exact=first.exact,
                value=statistics.median(values) if values else None,
                values=values,
                ratio=_ratio(samples, others),
                reference=reference if others else "",
                error="" if values else next((s.error for s in samples if s.error), "not finite"),
                env=first.env,
                measured_at=first.measured_at,
            )
        )
    return points


def _job(sample: Sample, cell: str) -> tuple[object, ...]:
    of_run = (sample.run_id, sample.commit, sample.env)
    return (*of_run, sample.at, sample.metric, sample.exact, cell)


def _check(sample: Sample, source: Source) -> None:
    if not sample.commit:
        raise OptionError(
            f"Run {sample.run_id or '(unnamed)'} does not say of which commit it is: it was made "
            "outside a git repository. Run it again inside one."
        )
    if sample.env not in source.environments:
        raise OptionError(
            f"Run {sample.run_id} does not say on which machine it was made, so that nothing may "
            "be compared with it. Append its journal, which has a line on that."
        )


def split_commit(recorded: str) -> tuple[str, bool]:
    """Return the commit, and whether files had been changed since."""
    for mark in CHANGED_FILES:
        if recorded.endswith(mark):
            return recorded.removesuffix(mark), True
    return recorded, False


def _ratio(samples: Iterable[Sample], others: Iterable[Sample]) -> float | None:
    """Return the median, over launches, of the ratio within a launch: drift is in both."""
    by_launch = {sample.launch: sample.value for sample in others}
    ratios = [
        sample.value / other
        for sample in samples
        if sample.value is not None and (other := by_launch.get(sample.launch))
    ]
    return statistics.median(ratios) if ratios else None
