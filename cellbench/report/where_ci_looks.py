"""What goes where a CI service looks for it: files, a job's summary, outputs, annotations.

Pure: from a report and the environment's variables to texts and the files they belong in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cellbench.report.gate_annotations import to_annotations
from cellbench.report.gate_data import to_json
from cellbench.report.gate_junit import to_junit
from cellbench.report.gate_markdown import SUMMARY_BYTES, to_comment, to_markdown
from cellbench.report.gate_rows import overall
from cellbench.verdicts import GateReport

SMALLEST_SUMMARY = 400
"""Bytes below which a summary says nothing worth reading."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A text and the file it belongs in.

    Attributes:
        what: For messages.
        remedy: What to do if it cannot be written.
        appended: Whether it goes behind what is there already.
    """

    what: str
    path: Path
    text: str
    remedy: str
    appended: bool = False


def deliveries(
    report: GateReport,
    environ: Mapping[str, str],
    *,
    junit: Path | None = None,
    json: Path | None = None,
    markdown: Path | None = None,
    size_of: Callable[[Path], int],
) -> list[Delivery]:
    """Return what is to be written.

    Args:
        report: What the gate found.
        environ: The variables of the process.
        junit: File for it; None for none. `json` and `markdown` likewise; Markdown is the form
            for a comment.
        size_of: Bytes that a file has already; 0 where there is none.
    """
    found = []
    if json is not None:
        found.append(Delivery("JSON", json, to_json(report) + "\n", "--json"))
    if junit is not None:
        found.append(Delivery("JUnit", junit, to_junit(report), "--junit"))
    if markdown is not None:
        found.append(Delivery("Markdown", markdown, to_comment(report) + "\n", "--markdown"))
    outputs = environ.get("GITHUB_OUTPUT")
    if outputs:
        text = output_lines(report)
        found.append(Delivery("outputs", Path(outputs), text, "GITHUB_OUTPUT", appended=True))
    summary = environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        found += _summary(report, Path(summary), size_of)
    return found


def output_lines(report: GateReport) -> str:
    """Return what a step of a GitHub workflow gives to later ones."""
    return f"verdict={overall(report).value}\nexit-code={int(report.exit)}\n"


def marks(report: GateReport, environ: Mapping[str, str], folder: Path) -> list[str]:
    """Return the workflow commands to print; none outside of GitHub's runners.

    Args:
        report: What the gate found.
        environ: The variables of the process.
        folder: Where the gate was run, and cells' files are looked for.
    """
    if environ.get("GITHUB_ACTIONS") != "true":
        return []
    return to_annotations(report, folder=_from_root(folder, environ.get("GITHUB_WORKSPACE", "")))


def _summary(report: GateReport, path: Path, size_of: Callable[[Path], int]) -> list[Delivery]:
    """Return a summary that leaves the file below its limit; none where it is full."""
    room = SUMMARY_BYTES - size_of(path) - 1
    if room < SMALLEST_SUMMARY:
        return []
    text = to_markdown(report, limit_bytes=room) + "\n"
    return [Delivery("summary", path, text, "GITHUB_STEP_SUMMARY", appended=True)]


def _from_root(folder: Path, root: str) -> str:
    """Return the way from the repository's root to `folder`; "" where that is the root."""
    if not root:
        return ""
    way = os.path.relpath(folder, root)
    return "" if way == "." or way.startswith("..") else Path(way).as_posix()
