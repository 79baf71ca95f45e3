"""What a gate found, put in order and in words: shared by everything that shows it."""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from cellbench.errors import Exit
from cellbench.report import gate_numbers as numbers
from cellbench.report.perf_numbers import NONE
from cellbench.verdicts import Finding, GateReport, Kind, Verdict

ORDER = (
    Verdict.FAILED,
    Verdict.MISSING,
    Verdict.REGRESSED,
    Verdict.CHANGED,
    Verdict.INCONCLUSIVE,
    Verdict.ACCEPTED,
    Verdict.NEW,
    Verdict.IMPROVED,
    Verdict.EQUIVALENT,
)
"""Worst first."""

BAD = frozenset({Verdict.FAILED, Verdict.MISSING, Verdict.REGRESSED, Verdict.CHANGED})
"""What a change is not merged with."""

REMEDY = {
    Kind.TIME: "more --launches, or a machine with less else to do, would",
    Kind.EXACT: "see the raw values",
    Kind.ACCURACY: "more seeds would",
}
"""What settles an inconclusive finding that does not say it itself."""


MOST_NAMES = 8
"""Cells that one remark names."""


class Overall(enum.StrEnum):
    """A whole gate in one word, for scripts."""

    VOID = "void"
    NOTHING = "nothing"
    FAILED = "failed"
    REGRESSED = "regressed"
    INCONCLUSIVE = "inconclusive"  # never the same as passed
    PASSED = "passed"


def overall(report: GateReport) -> Overall:
    """Return the gate's answer in one word."""
    found = {finding.verdict for finding in cells(report)}
    if report.void:
        return Overall.VOID
    if found & {Verdict.FAILED, Verdict.MISSING} or report.exit == Exit.FAILED:
        return Overall.FAILED
    if found & BAD or report.exit == Exit.REGRESSED:
        return Overall.REGRESSED
    if report.exit not in {Exit.OK, Exit.INCONCLUSIVE} or found <= {Verdict.NEW}:
        return Overall.NOTHING
    if Verdict.INCONCLUSIVE in found or report.exit == Exit.INCONCLUSIVE:
        return Overall.INCONCLUSIVE
    return Overall.PASSED


def cells(report: GateReport) -> list[Finding]:
    """Return the findings on what was gated, worst first; the control is not among them."""
    found = [finding for finding in report.findings if not is_control(report, finding)]
    return sorted(found, key=_how_bad)


def is_control(report: GateReport, finding: Finding) -> bool:
    """Return whether a finding is on the control's time: it says nothing of the change."""
    return finding.cell == report.control and finding.kind is Kind.TIME


def listed(report: GateReport) -> list[Finding]:
    """Return the findings that deserve a line: all but exact metrics that are equal."""
    return [finding for finding in cells(report) if not is_equal(finding)]


def is_equal(finding: Finding) -> bool:
    """Return whether a finding is of an exact metric, equal on both sides."""
    return finding.kind is Kind.EXACT and finding.verdict is Verdict.EQUIVALENT


def verdict(finding: Finding) -> str:
    """Write a verdict: what is inconclusive reads "cannot tell"."""
    return "cannot tell" if finding.verdict is Verdict.INCONCLUSIVE else finding.verdict.value


def name(finding: Finding) -> str:
    """Name a cell's metric."""
    return f"{finding.cell} {finding.metric}"


def described(finding: Finding) -> str:
    """Write what was found in one line, without the name: 1.21x [1.17, 1.26], confirmed."""
    ratio = numbers.ratio(finding)
    parts = [] if ratio == NONE else [_with_sides(finding, ratio)]
    if finding.confirmed:
        parts.append("confirmed")
    return one_line("; ".join(filter(None, (", ".join(parts), detail(finding)))))


def told(finding: Finding) -> str:
    """Write a finding in one line, its name first."""
    what = described(finding)
    colon = "" if numbers.ratio(finding) != NONE or not what else ":"
    return one_line(f"{name(finding)}{colon} {what}")


def detail(finding: Finding) -> str:
    """Return what to know of a finding; of an inconclusive one, always what would settle it."""
    text = one_line(finding.detail)
    if finding.verdict is not Verdict.INCONCLUSIVE:
        return text
    if not text:
        return f"cannot tell; {REMEDY[finding.kind]}"
    said = text if "cannot tell" in text else f"cannot tell: {text}"
    return said if ";" in text else f"{said}; {REMEDY[finding.kind]}"


def one_line(text: str) -> str:
    """Return text without line breaks, tabs and other control characters."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", " ", text).split())


def answer(report: GateReport) -> str:
    """Say in one line what came of the gate."""
    found = cells(report)
    if report.void:
        return f"void: {one_line(report.void)}"
    if found and found[0].verdict in BAD:
        worst, bad = found[0], sum(finding.verdict in BAD for finding in found)
        more = f"; and {bad - 1} more" if bad > 1 else ""
        return f"{worst.verdict.value}: {told(worst)}{more}"
    match overall(report):
        case Overall.PASSED | Overall.INCONCLUSIVE:
            return _no_regression(report)
        case _:
            reason = one_line(report.exit_reason) or "nothing was measured on both sides"
            return f"no answer: {reason}"


def _no_regression(report: GateReport) -> str:
    """Say that nothing was found, and of how much that can be said."""
    found = cells(report)
    margins = [f.margin for f in found if f.margin is not None and f.kind is Kind.TIME]
    beyond = f" beyond {numbers.span(margins)}" if margins else ""
    unsure = all(f.verdict in {Verdict.INCONCLUSIVE, Verdict.NEW} for f in found)
    if unsure or report.exit == Exit.INCONCLUSIVE:
        return f"cannot tell: {counted(report)}"
    return f"no regression{beyond}: {counted(report)}"


def counted(report: GateReport) -> str:
    """Count the verdicts; exact metrics that are equal stand apart."""
    found = cells(report)
    count = Counter(f.verdict for f in found if not is_equal(f))
    order = (Verdict.EQUIVALENT, *(v for v in ORDER if v is not Verdict.EQUIVALENT))
    parts = [f"{count[v]} {v.value}" for v in order if count[v]]
    parts = [f"{p} (cannot tell)" if p.endswith("inconclusive") else p for p in parts]
    equal = [f for f in found if is_equal(f)]
    if equal:
        rounded = sum(bool(f.detail) for f in equal)
        but = f" ({rounded} but for rounding)" if rounded else ""
        parts.append(f"{len(equal)} exact metric{'' if len(equal) == 1 else 's'} equal{but}")
    return ", ".join(parts)


def sides(report: GateReport) -> str:
    """Say what was compared."""
    base, head = report.base_commit[:12], short_commit(report.head_commit)
    asked = report.base if report.base[:12] != base else ""
    named = f"{asked} ({base})" if asked and base else asked or base or "nothing"
    return one_line(f"base {named}, head {head}")


def short_commit(commit: str) -> str:
    """Shorten a commit, and say where files had been changed since."""
    return f"{commit[:12].rstrip('+')} and changes since" if commit.endswith("+") else commit[:12]


def control(report: GateReport) -> str:
    """Say what the control did."""
    if not report.control:
        return "no control: nothing shows that both sides were timed alike"
    seen = [finding for finding in report.findings if is_control(report, finding)]
    if not seen:
        return f"control {one_line(report.control)} was not timed"
    told = ", ".join(f"{f.metric} {numbers.ratio(f)}" for f in seen)
    return one_line(f"control {report.control}, the same code on both sides: {told}")


def remarks(report: GateReport) -> Iterator[str]:
    """Yield what weakens or explains the answer, the weightiest first."""
    yield from (f"advisory only: {one_line(text)}" for text in report.advisory)
    yield from grouped([f for f in listed(report) if detail(f)])
    yield from (one_line(note) for note in report.notes)
    dropped = dropped_rounds(report)
    if dropped:
        yield dropped


def grouped(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each detail; cells of which the same is said share one."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        key = (finding.metric, verdict(finding), detail(finding))
        told.setdefault(key, []).append(finding.cell)
    for (metric, word, text), names in told.items():
        what = text if text.startswith(word) else f"{word}: {text}"
        yield one_line(f"{_names(names)} {metric}: {what}")


def _names(names: Sequence[str]) -> str:
    """Join names; of many, the first."""
    more = len(names) - MOST_NAMES
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def dropped_rounds(report: GateReport) -> str:
    """Say how many rounds something else disturbed; "" if none."""
    most = max(report.findings, key=lambda f: f.dropped, default=None)
    if most is None or not most.dropped:
        return ""
    count = sum(finding.dropped for finding in report.findings)
    where = f"the most in {name(most)}, {most.dropped}"
    plural = "" if count == 1 else "s"
    return one_line(f"left out {count} round{plural} that something else disturbed ({where})")


def ending(report: GateReport) -> str:
    """Say where the raw values are, how long it took, and what the exit code means."""
    parts = [report.machine] if report.machine else []
    if report.elapsed_s:
        parts.append(f"took {numbers.duration(report.elapsed_s)}")
    if report.journal:
        parts.append(f"raw values in {report.journal}")
    reason = f" ({report.exit_reason})" if report.exit_reason else ""
    return one_line("; ".join([*parts, f"exit code {report.exit}{reason}"]))


def _how_bad(finding: Finding) -> tuple[int, float]:
    ratio = finding.low if finding.low is not None else finding.ratio
    if ratio is None and finding.base is not None and finding.head is not None:
        ratio = 1 + finding.base - finding.head  # of skills: the larger the loss, the worse
    return ORDER.index(finding.verdict), -(ratio if ratio is not None else 1.0)


def _with_sides(finding: Finding, ratio: str) -> str:
    """Write a ratio with its sign for "times", or of an exact metric both numbers."""
    if finding.kind is Kind.TIME:
        value, _, bounds = ratio.partition(" ")
        return f"{value}x {bounds}".strip()
    base, head = numbers.both(finding)
    return f"{base} -> {head}"
