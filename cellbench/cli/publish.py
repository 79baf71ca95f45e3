"""Putting a gate's result where CI looks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import click

from cellbench.errors import Exit, StoreError
from cellbench.report.where_ci_looks import Delivery, deliveries, marks
from cellbench.verdicts import GateReport


def publish(
    report: GateReport,
    environ: Mapping[str, str],
    *,
    junit: Path | None = None,
    json: Path | None = None,
    markdown: Path | None = None,
) -> int:
    """Write the files that were asked for, and what the CI service around this reads.

    A file that cannot be written is an error in one line on standard error; the others are
    written all the same.

    Returns:
        The gate's own exit code if it is not 0: a regression stays one, whatever became of the
        files. Else that of a StoreError if a file is missing.
    """
    for line in marks(report, environ, Path.cwd()):
        click.echo(line, err=True)  # a runner reads both; standard output may be a report
    found = deliveries(report, environ, junit=junit, json=json, markdown=markdown, size_of=_size_of)
    written = [_is_written(delivery) for delivery in found]
    if report.exit != Exit.OK or all(written):
        return report.exit
    return StoreError.exit


def _is_written(delivery: Delivery) -> bool:
    """Write one file; say so if that is not possible."""
    path = delivery.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if delivery.appended else "w", encoding="utf-8", newline="\n") as file:
            file.write(delivery.text)
    except OSError as error:
        click.echo(
            f"Error: Cannot write the gate's {delivery.what} to {path}: "
            f"{error.strerror or error}. Choose another file with {delivery.remedy}.",
            err=True,
        )
        return False
    return True


def _size_of(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
