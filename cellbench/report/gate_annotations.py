"""A gate's findings as GitHub's workflow commands: lines that become marks on a pull request.

GitLab has no such commands; there the JUnit report does it.

Source: GitHub's documentation, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cellbench.errors import Exit
from cellbench.report import gate_rows as rows
from cellbench.verdicts import GateReport, Verdict

MOST = 10
"""Marks of one kind that GitHub shows of a step."""

NOTICED = frozenset({Verdict.ACCEPTED, Verdict.NEW, Verdict.IMPROVED})

FILE = re.compile(r"([^():,\s][^():,]*\.py):\w+")
"""A cell that is a class in a file; options may follow."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One annotation.

    Attributes:
        title: Short; `text` is what it says.
        file: Where it is shown; "" for the whole run.
    """

    title: str
    text: str
    file: str = ""


def to_annotations(report: GateReport, *, folder: str = "") -> list[str]:
    """Return workflow commands, a line each, worst first; at most ten of a kind.

    Args:
        report: What the gate found.
        folder: Where cells' files are, from the repository's root.
    """
    kinds = {
        "error": list(_errors(report, folder)),
        "warning": list(_warnings(report, folder)),
        "notice": list(_notices(report, folder)),
    }
    return [command(kind, mark) for kind, marks in kinds.items() for mark in _few(marks)]


def command(kind: str, mark: Mark) -> str:
    """Write one workflow command."""
    where = f"file={_property(mark.file)}," if mark.file else ""
    return f"::{kind} {where}title={_property(mark.title)}::{_data(mark.text)}"


def file_of(cell: str) -> str:
    """Return the file that a cell is in; "" if it is one of the table or of a module."""
    found = FILE.match(cell)
    return found[1] if found else ""


def _errors(report: GateReport, folder: str) -> Iterator[Mark]:
    if report.void:
        yield Mark("cellbench: void", report.void)
        return
    bad = _marks(report, rows.BAD, folder)
    yield from bad
    if not bad and report.exit != Exit.OK:
        yield Mark("cellbench", rows.answer(report))


def _warnings(report: GateReport, folder: str) -> Iterator[Mark]:
    yield from (Mark("cellbench: advisory only", text) for text in report.advisory)
    if not report.void:
        yield from _marks(report, {Verdict.INCONCLUSIVE}, folder)


def _notices(report: GateReport, folder: str) -> Iterator[Mark]:
    if rows.overall(report) is rows.Overall.PASSED:
        yield Mark("cellbench", rows.answer(report))
    if not report.void:
        yield from _marks(report, NOTICED, folder)


def _marks(
    report: GateReport, verdicts: set[Verdict] | frozenset[Verdict], folder: str
) -> list[Mark]:
    return [
        Mark(
            f"cellbench: {rows.verdict(finding)}",
            rows.told(finding),
            _joined(folder, file_of(finding.cell)),
        )
        for finding in rows.cells(report)
        if finding.verdict in verdicts
    ]


def _joined(folder: str, file: str) -> str:
    """Return the way from the repository's root to a file; "" where that is not known."""
    if not file or file.startswith(("/", "~")):
        return ""
    return f"{folder.rstrip('/')}/{file}" if folder else file


def _few(marks: Sequence[Mark]) -> list[Mark]:
    """Return at most ten; the last says how many more there are."""
    if len(marks) <= MOST:
        return list(marks)
    more = len(marks) - MOST + 1
    return [*marks[: MOST - 1], Mark("cellbench", f"and {more} more, in the summary of this job")]


def _data(text: str) -> str:
    """Escape what a command says; % first, since the others bring it in."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a value before the second pair of colons."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
