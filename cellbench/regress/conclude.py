"""From findings to an exit code: what makes an answer worthless comes before the answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from cellbench.errors import Exit
from cellbench.verdicts import Finding, Verdict

WORSE = (Verdict.REGRESSED, Verdict.CHANGED)
BROKEN = (Verdict.FAILED, Verdict.MISSING)


def accept(
    findings: Sequence[Finding], accepted: Collection[tuple[str, str]]
) -> tuple[Finding, ...]:
    """Mark what the user said would change; "*" stands for every cell, or every metric."""

    def is_meant(found: Finding) -> bool:
        cells, metrics = (found.cell, "*"), (found.metric, "*")
        return any((cell, metric) in accepted for cell in cells for metric in metrics)

    return tuple(
        replace(found, verdict=Verdict.ACCEPTED)
        if found.verdict in (*WORSE, Verdict.MISSING) and is_meant(found)
        else found
        for found in findings
    )


def exit_code(findings: Sequence[Finding], void: str, fail_on: Collection[str]) -> tuple[Exit, str]:
    """Return the exit code, and why in one line."""
    if void:
        return Exit.NOTHING, void
    judged = [found for found in findings if found.verdict is not Verdict.NEW]
    broken = _named(findings, BROKEN)
    if broken:
        return Exit.FAILED, f"failed or missing: {broken}"
    if not judged:
        return Exit.NOTHING, "nothing was measured on both sides"
    worse = _named(findings, WORSE)
    if worse:
        return Exit.REGRESSED, f"worse than base: {worse}"
    unsure = _named(findings, (Verdict.INCONCLUSIVE,))
    if unsure and "inconclusive" in fail_on:
        return Exit.INCONCLUSIVE, f"cannot tell: {unsure}"
    return Exit.OK, f"no regression found; cannot tell: {unsure}" if unsure else "no regression"


def _named(findings: Sequence[Finding], verdicts: Collection[Verdict]) -> str:
    return ", ".join(f"{f.cell} {f.metric}" for f in findings if f.verdict in verdicts)
