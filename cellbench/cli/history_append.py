"""`cellbench history append`: reads sources, refuses what may not be kept, appends the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cellbench.errors import NothingMeasuredError, OptionError
from cellbench.regress.commits import current_branch, find_commit
from cellbench.regress.history import Appended, make_points, split_commit
from cellbench.regress.history import append as append_points
from cellbench.regress.samples import Source, read_source
from cellbench.store.journal import is_torn
from cellbench.verdicts import HistoryPoint

DEFAULT_REFERENCE = "lstm"


def append(
    *,
    sources: Sequence[Path],
    path: Path,
    reference: str | None,
    branch: str | None,
    allow_dirty: bool,
) -> None:
    """Append the points of all sources; nothing is written if one of them may not be."""
    read = [read_source(source) for source in sources]
    on = current_branch() if branch is None else branch
    points = [_points(*pair, reference, on) for pair in zip(sources, read, strict=True)]
    if not allow_dirty:
        _refuse_dirty([point for members in points for point in members])
    if is_torn(path):
        click.echo(f"{path}: the last line was cut short; it is taken out.", err=True)
    done = [append_points(path, *pair) for pair in zip(points, read, strict=True)]
    _tell(path, Appended(sum(d.new for d in done), sum(d.known for d in done)))


def _points(name: Path, source: Source, reference: str | None, branch: str) -> list[HistoryPoint]:
    if source.void:
        raise NothingMeasuredError(f"{name} is void, and nothing in it is kept: {source.void}")
    if not source.samples:
        raise NothingMeasuredError(f"There is no time and no size in {name}; nothing is appended.")
    cell = reference or source.control or DEFAULT_REFERENCE
    if cell not in {sample.cell for sample in source.samples}:
        if reference:
            raise OptionError(f"--reference {reference} was not measured in {name}.")
        click.echo(
            f"{name}: {cell} was not measured, so there is no ratio to a reference: drift of the "
            "machine will look like changes. Name another with --reference.",
            err=True,
        )
    names = {split_commit(sample.commit)[0] for sample in source.samples} - {""}
    known = {one: commit for one in names if (commit := find_commit(one))}
    return make_points(source, cell, known, branch)


def _refuse_dirty(points: Sequence[HistoryPoint]) -> None:
    dirty = next((point for point in points if point.dirty), None)
    if dirty is not None:
        raise OptionError(
            f"Run {dirty.run_id} was made with files changed since {dirty.commit[:7]}: of no "
            "commit. Commit and run it again, or give --allow-dirty."
        )


def _tell(path: Path, done: Appended) -> None:
    before = f"; {done.known} were there before" if done.known else ""
    click.echo(f"{done.new} points appended to {path}{before}.")
