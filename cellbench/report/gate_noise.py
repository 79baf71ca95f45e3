"""What a gate's answer is worth on the machine it was made on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cellbench.report.gate_numbers import percent
from cellbench.report.gate_rows import cells
from cellbench.verdicts import Calibration, GateReport, Kind

UNKNOWN = "noise of this machine unknown: run `cellbench calibrate`"

FEW = 4
"""Up to here each cell and metric is told; of more, the ends of the range."""


def noise(report: GateReport) -> Iterator[str]:
    """Yield lines on the machine's noise, or that nobody measured it."""
    known = report.calibration
    if known is None:
        yield UNKNOWN
        return
    timed = [f"{f.cell} {f.metric}" for f in cells(report) if f.kind is Kind.TIME]
    yield false_alarms(known)
    yield from _shares("noise floors", known.floors, timed)
    yield from _shares("slow-downs that 95% of gates catch, at least", known.detectable, timed)
    lacking = [name for name in timed if name not in known.floors]
    if lacking:
        yield f"noise unknown of {', '.join(lacking)}: run `cellbench calibrate` with them"
    yield from _other_length(report, known)


def false_alarms(known: Calibration) -> str:
    """Say how often gates of equal code found a regression."""
    count = round(known.false_alarms * known.gates)
    return (
        f"noise of this machine, from {known.launches} launches: {count} false alarm"
        f"{'' if count == 1 else 's'} in {known.gates} gates of equal code, {known.per_gate} "
        f"launches each"
    )


def _shares(what: str, shares: Mapping[str, float], timed: list[str]) -> Iterator[str]:
    """Yield one line on the shares of what was timed; of many, their range."""
    found = sorted((shares[name], name) for name in timed if name in shares)
    if not found:
        return
    if len(found) > FEW:
        found = [found[0], found[-1]]
        told = " to ".join(f"{percent(share)} ({name})" for share, name in found)
    else:
        told = ", ".join(f"{name} {percent(share)}" for share, name in found)
    yield f"{what}: {told}"


def _other_length(report: GateReport, known: Calibration) -> Iterator[str]:
    counts = [f.launches for f in cells(report) if f.kind is Kind.TIME and f.launches]
    if counts and min(counts) < known.per_gate:
        yield f"this gate had only {min(counts)} launches: it sees less than that"
