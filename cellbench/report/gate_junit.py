"""A gate as JUnit XML, which GitLab, Jenkins and others show beside tests.

A suite is a cell, a case a metric of it. What cannot be told is skipped, with its reason: JUnit
has no word for it, and a pass it is not.

Source: junit-10.xsd of Jenkins' xUnit plug-in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from cellbench.errors import Exit
from cellbench.report import gate_numbers as numbers
from cellbench.report import gate_rows as rows
from cellbench.verdicts import Finding, GateReport, Verdict

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""

OUTCOMES = {
    Verdict.REGRESSED: "failure",
    Verdict.CHANGED: "failure",
    Verdict.MISSING: "failure",
    Verdict.FAILED: "error",
    Verdict.INCONCLUSIVE: "skipped",
    Verdict.NEW: "skipped",
}
"""Verdict -> element; any other passes."""

NO_TIME = "0.000"
"""Of one case: all metrics are timed in turn, so that no single one took a time of its own."""


def to_junit(report: GateReport) -> str:
    """Return an XML document; well-formed whatever the texts of the report are."""
    root = ET.Element("testsuites", name="cellbench gate")
    by_cell: dict[str, list[Finding]] = {}
    for finding in report.findings:
        by_cell.setdefault(finding.cell, []).append(finding)
    for cell, findings in by_cell.items():
        root.append(_suite(cell, [_case(report, f, name) for name, f in _named(findings)]))
    shown = {element.tag for element in root.iter()}
    if report.exit != Exit.OK and not shown & {"failure", "error"}:
        root.append(_suite("gate", [_whole(report)]))
    for what in ("tests", "failures", "errors"):
        root.set(what, str(sum(int(suite.get(what, 0)) for suite in root)))
    root.set("time", f"{report.elapsed_s:.3f}")
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(name: str, cases: Sequence[ET.Element]) -> ET.Element:
    count = Counter(outcome.tag for case in cases for outcome in case)
    suite = ET.Element(
        "testsuite",
        name=clean(name),
        tests=str(len(cases)),
        failures=str(count["failure"]),
        errors=str(count["error"]),
        skipped=str(count["skipped"]),
        time=NO_TIME,
    )
    suite.extend(cases)
    return suite


def _named(findings: Sequence[Finding]) -> list[tuple[str, Finding]]:
    """Give each finding a name of its own: a control is looked at once a stage."""
    seen: Counter[str] = Counter()
    named = []
    for finding in findings:
        seen[finding.metric] += 1
        again = f" ({seen[finding.metric]})" if seen[finding.metric] > 1 else ""
        named.append((finding.metric + again, finding))
    return named


def _case(report: GateReport, finding: Finding, name: str) -> ET.Element:
    case = _blank(finding.cell, name)
    tag = OUTCOMES.get(finding.verdict)
    if report.void:
        _tell(case, "error", "void", f"void: {report.void}")
    elif tag:
        _tell(case, tag, finding.verdict.value, _message(finding))
    ET.SubElement(case, "system-out").text = clean(_numbers(finding))
    return case


def _whole(report: GateReport) -> ET.Element:
    """Return a case that fails as the gate did, where no metric's case does."""
    case = _blank("cellbench", "gate")
    soft = report.exit in {Exit.REGRESSED, Exit.INCONCLUSIVE}
    message = f"{rows.answer(report)} (exit code {report.exit}: {report.exit_reason})"
    _tell(case, "failure" if soft else "error", rows.overall(report).value, message)
    return case


def _blank(cell: str, name: str) -> ET.Element:
    return ET.Element("testcase", classname=clean(cell), name=clean(name), time=NO_TIME)


def _tell(case: ET.Element, tag: str, kind: str, message: str) -> None:
    ET.SubElement(case, tag, type=clean(kind), message=clean(rows.one_line(message)))


def _message(finding: Finding) -> str:
    word, text = rows.verdict(finding), rows.described(finding)
    return text if word in text else f"{word}: {text}"


def _numbers(finding: Finding) -> str:
    base, head = numbers.both(finding)
    parts = [rows.verdict(finding), f"base {base}", f"head {head}"]
    parts.append(f"ratio {numbers.ratio(finding)}")
    if finding.margin is not None:
        parts.append(f"margin {numbers.percent(finding.margin)}")
    if finding.launches:
        parts.append(f"n {finding.launches}")
    return "; ".join(parts)


def clean(text: str) -> str:
    """Return `text` without the characters that XML cannot hold."""
    return FORBIDDEN.sub("", text)
