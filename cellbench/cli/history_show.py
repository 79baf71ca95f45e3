"""`cellbench history show` and `acknowledge`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from cellbench.cli.console import out
from cellbench.errors import Exit, NothingMeasuredError, OptionError, did_you_mean
from cellbench.plugins import split_cells
from cellbench.regress.acknowledged import (
    Acknowledged,
    acknowledge,
    idle,
    path_beside,
    read_acknowledged,
    write_acknowledged,
)
from cellbench.regress.commits import find_commit
from cellbench.regress.history import read_history, require_whole
from cellbench.regress.history_verdict import HistoryVerdict, judge
from cellbench.report.history_columns import of_change
from cellbench.report.history_rows import Series, make_series, moment
from cellbench.stats.change_points import Rules
from cellbench.store.journal import is_torn
from cellbench.verdicts import HistoryLine, HistoryPoint


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options, as given."""

    path: Path
    cells: str | None
    metrics: str | None
    since: str | None
    branch: str | None
    form: str
    min_points: int
    min_change: str
    fail_on: str | None
    recent: int


def show(asked: Asked) -> Exit:
    """Print the history; return the exit code."""
    if asked.fail_on:
        require_whole(asked.path)
    elif is_torn(asked.path):
        click.echo(f"{asked.path}: the last line was cut short; a point is missing.", err=True)
    rules = Rules(window=asked.min_points, magnitude=parse_share("--min-change", asked.min_change))
    entries = read_acknowledged(path_beside(asked.path))
    lines = read_history(asked.path)
    found = acknowledge(_wanted(make_series(_since_then(lines, asked), rules), asked), entries)
    _print(found, asked.form)
    if not (asked.cells or asked.metrics or asked.since or asked.branch):
        _tell_idle(idle(found, entries), asked.path)
    return _verdict(judge(found, asked.recent), asked.fail_on) if asked.fail_on else Exit.OK


def parse_share(option: str, text: str) -> float:
    """Read 5% or 0.05.

    Raises:
        OptionError: It is neither, or not from 0 to below 100 %.
    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise OptionError(f"{option} must be a share such as 5% or 0.05, not {text!r}.")
    return value


def _since_then(lines: Sequence[HistoryLine], asked: Asked) -> list[HistoryLine]:
    """Return the lines without points that --since and --branch leave out."""
    points = [line for line in lines if isinstance(line, HistoryPoint)]
    since = _since(points, asked.since) if asked.since else None
    return [
        line
        for line in lines
        if not isinstance(line, HistoryPoint)
        or (asked.branch in {None, line.branch} and (since is None or moment(line) >= since))
    ]


def _wanted(found: Sequence[Series], asked: Asked) -> list[Series]:
    """Return the series that --cells and --metrics name; made of all, to know what is recent."""
    cells = _listed("--cells", asked.cells, {series.cell for series in found})
    metrics = _listed("--metrics", asked.metrics, {series.metric for series in found})
    wanted = [one for one in found if one.cell in cells and one.metric in metrics]
    if not wanted:
        raise NothingMeasuredError(
            f"Nothing in {asked.path} is what --cells, --metrics, --since and --branch ask for."
        )
    return wanted


def _listed(option: str, text: str | None, known: set[str]) -> set[str]:
    """Return the names that are asked for: a misprint must not look like a history without change.

    Raises:
        OptionError: One is not in the history.
    """
    if text is None:
        return known
    names = split_cells(text)
    for name in names:
        if name not in known:
            raise OptionError(
                f"{option}: there is no {name!r} in the history{did_you_mean(name, known)}"
            )
    return set(names)


def _since(points: Sequence[HistoryPoint], revision: str) -> datetime.datetime:
    commit = find_commit(revision)
    if commit is not None:
        return datetime.datetime.fromisoformat(commit.committed_at)
    moments = [moment(point) for point in points if point.commit.startswith(revision)]
    if not moments:
        raise OptionError(f"--since {revision}: no such commit in this repository or history.")
    return min(moments)


def _print(found: Sequence[Series], form: str) -> None:
    if form == "table":
        from cellbench.report.history import print_history

        print_history(found, out())
        return
    from cellbench.report.history_sheets import to_csv, to_json, to_markdown

    click.echo({"markdown": to_markdown, "json": to_json, "csv": to_csv}[form](found))


def _tell_idle(entries: Sequence[Acknowledged], path: Path) -> None:
    for entry in entries:
        click.echo(
            f"{path_beside(path)}: {entry.cell} {entry.metric} at {entry.commit[:7]} is no change "
            "for the worse, or no longer one.",
            err=True,
        )


def _verdict(verdict: HistoryVerdict, fail_on: str) -> Exit:
    for series in verdict.worse:
        click.echo(f"worse: {series.id}: {of_change((series.changes or ())[-1])}", err=True)
    for series in verdict.failed:
        click.echo(f"failed: {series.id}: {series.entries[-1].error}", err=True)
    if verdict.unknown:
        names = "; ".join(series.id for series in verdict.unknown)
        click.echo(f"cannot be judged: {names}", err=True)
    return verdict.exit(inconclusive=fail_on == "inconclusive")


def write_acknowledgement(*, commit: str, cell: str, metric: str, reason: str, path: Path) -> None:
    """Append to the file of acknowledgements, and say what was acknowledged."""
    entry = Acknowledged(commit=commit, cell=cell, metric=metric, reason=reason)
    series = make_series(read_history(path))
    change = write_acknowledged(path_beside(path), entry, series)
    marked = msgspec.structs.replace(change, acknowledged=reason)
    click.echo(f"{path_beside(path)}: {cell} {metric}: {of_change(marked)}")
