"""What a table says of a history: one row a series.

A *series* is one metric of one cell, in order of commits; on one machine, on one branch, at one
setting, against one reference. What differs in any of these is another series: joined, they would
show changes of the machine as changes of the code.
"""

from __future__ import annotations

import datetime
import itertools
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from cellbench.stats.change_points import Rules, change_points
from cellbench.store.frames import machine, machine_name
from cellbench.verdicts import HistoryLine, HistoryPoint

EXACT_WINDOW = 2
"""Points that tell whether a number that is counted has changed."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of a series.

    Attributes:
        value: Median over its runs; None if there was none.
        ratio: To the reference, likewise.
        runs: That it was measured in.
        error: Why there is no value.
    """

    commit: str
    committed_at: str
    dirty: bool
    value: float | None
    ratio: float | None
    runs: int = 1
    error: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change that lasts.

    Attributes:
        before: Last commit before it that was measured; it is not the cause.
        after: First commit after it.
        place: Of `after` in the series' entries.
        recent: Commits of the branch at or after `after`, whatever was measured at them.
        change: After over before, less 1; None where that was 0.
        low: Lower bound of the 95 % interval of `change`; None if there is none.
        high: Upper one.
        worse: Whether it is for the worse.
        acknowledged: Why it is meant to be, as the user wrote; "" if that is not so.
    """

    before: str
    after: str
    place: int
    recent: int
    change: float | None
    low: float | None
    high: float | None
    worse: bool
    acknowledged: str = ""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One row; see the module, and `HistoryPoint` for the names.

    Attributes:
        id: Of the row, unlike that of every other.
        machine: The facts that are the same for all entries, and `machine_name` in short.
        recent: Commits of the branch at or after the newest entry, whatever was measured at them:
            1 if the newest commit of all is in the series.
        entries: In order of commits.
        judged: What changes were looked for in: "ratio" or "value".
        usable: Entries with a number there.
        needed: So many there must be before a change is looked for.
        last_change: The last number there over the median of those before, less 1.
        changes: Oldest first; None if there are too few entries to tell.
    """

    id: str
    cell: str
    metric: str
    at: str
    unit: str
    better: str
    exact: bool
    reference: str
    branch: str
    machine: str
    machine_name: str
    recent: int
    entries: tuple[Entry, ...]
    judged: str
    usable: int
    needed: int
    last_change: float | None
    changes: tuple[Change, ...] | None

    @property
    def is_reference(self) -> bool:
        """Whether this is the cell that others are divided by: its changes are the machine's."""
        return self.cell == self.reference

    @property
    def numbers(self) -> list[float | None]:
        """What changes were looked for in, an entry each."""
        return [getattr(entry, self.judged) for entry in self.entries]

    @property
    def group(self) -> tuple[str, str, str]:
        """What series of one table have in common."""
        return (self.machine, self.branch, self.at)


def make_series(lines: Iterable[HistoryLine], rules: Rules | None = None) -> list[Series]:
    """Return the series of a history, by machine, branch, setting, cell and metric."""
    rules = rules or Rules()
    lines = list(lines)
    keys = {line.digest: line.key for line in lines if not isinstance(line, HistoryPoint)}
    groups: dict[tuple[Any, ...], list[HistoryPoint]] = {}
    for point in lines:
        if isinstance(point, HistoryPoint):
            groups.setdefault(_identity(point, _key(keys, point)), []).append(point)
    commits = _commits_of_branches(line for line in lines if isinstance(line, HistoryPoint))
    found = [
        _series(points, _key(keys, points[0]), commits[points[0].branch], rules)
        for _, points in sorted(groups.items())
    ]
    return _with_unique_ids(found)


def _key(keys: dict[str, dict[str, str]], point: HistoryPoint) -> dict[str, str]:
    """Return the facts of the machine; one without a line is like no other."""
    return keys.get(point.env, {"unknown machine": point.env})


def _identity(point: HistoryPoint, key: dict[str, str]) -> tuple[Any, ...]:
    what = (point.cell, point.metric, point.reference, point.unit, point.exact, point.better)
    return (machine(key), point.branch, point.at, *what)


def _commits_of_branches(points: Iterable[HistoryPoint]) -> dict[str, list[str]]:
    """Return the commits of each branch at which anything was measured, the oldest first."""
    found: dict[str, dict[str, None]] = {}
    for point in sorted(points, key=moment):
        found.setdefault(point.branch, {})[point.commit] = None
    return {branch: list(commits) for branch, commits in found.items()}


def moment(point: HistoryPoint) -> datetime.datetime:
    """Return when it was committed; where git did not know, when it was measured."""
    try:
        when = datetime.datetime.fromisoformat(point.committed_at or point.measured_at)
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return when if when.tzinfo else when.replace(tzinfo=datetime.UTC)


def _series(
    points: list[HistoryPoint], key: dict[str, str], commits: Sequence[str], rules: Rules
) -> Series:
    first = points[0]
    entries = _entries(points)
    judged = "ratio" if first.reference and first.reference != first.cell else "value"
    numbers = [getattr(entry, judged) for entry in entries]
    usable = [n for n, value in enumerate(numbers) if value is not None]
    changes = _exact_changes(numbers, usable) if first.exact else _changes(numbers, usable, rules)
    return Series(
        id=f"{first.cell} {first.metric}",
        cell=first.cell,
        metric=first.metric,
        at=first.at,
        unit=first.unit,
        better=first.better,
        exact=first.exact,
        reference=first.reference,
        branch=first.branch,
        machine=machine(key),
        machine_name=name_of(key),
        recent=len(commits) - commits.index(entries[-1].commit),
        entries=tuple(entries),
        judged=judged,
        usable=len(usable),
        needed=EXACT_WINDOW if first.exact else rules.window,
        last_change=_last_change([numbers[n] for n in usable]),
        changes=None if changes is None else _named(changes, entries, commits, first.better),
    )


def name_of(key: dict[str, str]) -> str:
    """Write the facts that a reader asks for first; all, if one of those is not known."""
    known = {"device", "threads", "torch", "dtype"} <= key.keys()
    return machine_name(key) if known else machine(key).replace("=", " ")


def _entries(points: list[HistoryPoint]) -> list[Entry]:
    """Return an entry a commit, the oldest first; of several runs, the median."""
    commits: dict[tuple[str, bool], dict[str, HistoryPoint]] = {}
    for point in sorted(points, key=moment):
        commits.setdefault((point.commit, point.dirty), {})[point.run_id] = point
    return [_entry(list(runs.values())) for runs in commits.values()]


def _entry(runs: list[HistoryPoint]) -> Entry:
    values = [_number(point.value, point) for point in runs]
    ratios = [_number(point.ratio, point) for point in runs]
    value = _median(values)
    return Entry(
        commit=runs[0].commit,
        committed_at=runs[0].committed_at,
        dirty=runs[0].dirty,
        value=value,
        ratio=_median(ratios),
        runs=len(runs),
        error="" if value is not None else next((p.error for p in runs if p.error), "no number"),
    )


def _number(value: float | None, point: HistoryPoint) -> float | None:
    """Return a value that a change can be told of: nothing takes no time, or less."""
    return value if value is not None and (value > 0 or point.exact) else None


def _median(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def _last_change(usable: list[Any]) -> float | None:
    if len(usable) < 2 or not (before := statistics.median(usable[:-1])):  # noqa: PLR2004 -- and one before
        return None
    return float(usable[-1] / before - 1)


class _Found(msgspec.Struct, frozen=True):
    """A change, by the places in the series' entries that it lies between."""

    before: int
    after: int
    rises: bool
    change: float | None
    low: float | None = None
    high: float | None = None


def _changes(numbers: list[Any], usable: list[int], rules: Rules) -> list[_Found] | None:
    found = change_points([numbers[n] for n in usable], rules)
    if found is None:
        return None
    return [
        _Found(usable[c.at - 1], usable[c.at], c.change > 0, c.change, c.low, c.high) for c in found
    ]


def _exact_changes(numbers: list[Any], usable: list[int]) -> list[_Found] | None:
    if len(usable) < EXACT_WINDOW:
        return None
    pairs = [(a, b) for a, b in itertools.pairwise(usable) if numbers[a] != numbers[b]]
    return [
        _Found(a, b, numbers[b] > numbers[a], numbers[b] / numbers[a] - 1 if numbers[a] else None)
        for a, b in pairs
    ]


def _named(
    changes: list[_Found], entries: list[Entry], commits: Sequence[str], better: str
) -> tuple[Change, ...]:
    return tuple(
        Change(
            before=entries[found.before].commit,
            after=entries[found.after].commit,
            place=found.after,
            recent=len(commits) - commits.index(entries[found.after].commit),
            change=found.change,
            low=found.low,
            high=found.high,
            worse=found.rises == (better == "lower"),
        )
        for found in changes
    )


def _with_unique_ids(found: list[Series]) -> list[Series]:
    """Lengthen ids that stand for several rows by what these differ in."""
    for name in ("at", "branch", "reference", "machine_name", "machine", "unit", "exact", "better"):
        kinds: dict[str, set[str]] = {}
        for series in found:
            kinds.setdefault(series.id, set()).add(getattr(series, name))
        found = [
            msgspec.structs.replace(one, id=f"{one.id}, {getattr(one, name) or 'no ' + name}")
            if len(kinds[one.id]) > 1
            else one
            for one in found
        ]
    return found
