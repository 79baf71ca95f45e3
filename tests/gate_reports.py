"""Reports of gates to test with: one of each verdict, and whole ones."""

from __future__ import annotations

from typing import Any

from cellbench.verdicts import Calibration, Finding, GateReport, Kind, Verdict

CONTROL = "torch.nn:LSTM"


def timed(cell: str = "lstm", verdict: Verdict = Verdict.EQUIVALENT, **changes: Any) -> Finding:
    given: dict[str, Any] = {
        "cell": cell,
        "metric": "train_step",
        "kind": Kind.TIME,
        "verdict": verdict,
        "unit": "s",
        "base": 0.0100,
        "head": 0.0101,
        "ratio": 1.004,
        "low": 0.991,
        "high": 1.018,
        "margin": 0.03,
        "p": 0.9,
        "q": 0.95,
        "launches": 8,
    }
    return Finding(**given | changes)


def counted(cell: str = "lstm", verdict: Verdict = Verdict.EQUIVALENT, **changes: Any) -> Finding:
    given: dict[str, Any] = {
        "cell": cell,
        "metric": "parameters",
        "kind": Kind.EXACT,
        "verdict": verdict,
        "base": 33_280.0,
        "head": 33_280.0,
        "ratio": 1.0,
    }
    return Finding(**given | changes)


def learned(cell: str = "lstm", verdict: Verdict = Verdict.EQUIVALENT, **changes: Any) -> Finding:
    given: dict[str, Any] = {
        "cell": cell,
        "metric": "copying/tiny",
        "kind": Kind.ACCURACY,
        "verdict": verdict,
        "launches": 10,
    }
    return Finding(**given | changes)


REGRESSED = timed(
    "hyperlstm",
    Verdict.REGRESSED,
    head=0.0121,
    ratio=1.2134,
    low=1.1712,
    high=1.2571,
    q=0.0001,
    confirmed=True,
    dropped=3,
)
LARGER = counted(
    "hyperlstm",
    Verdict.REGRESSED,
    metric="peak_allocated_bytes",
    unit="bytes",
    base=17.5 * 2**20,
    head=18.5 * 2**20,
    ratio=18.5 / 17.5,
)
CHANGED = counted("gru", Verdict.CHANGED, head=33_281.0, ratio=33_281 / 33_280)
UNSURE = timed(
    "lstmn",
    Verdict.INCONCLUSIVE,
    ratio=1.06,
    low=0.98,
    high=1.15,
    dropped=12,
    detail="cannot tell; about --launches 20 would",
)
FASTER = timed("min_gru", Verdict.IMPROVED, head=0.008, ratio=0.8, low=0.78, high=0.82)
ACCEPTED = counted("rnn", Verdict.ACCEPTED, metric="operations", base=1e6, head=2e6, ratio=2.0)
FAILED = counted(
    "my_cell.py:MyCell(a=0.9)",
    Verdict.FAILED,
    metric="cell",
    base=None,
    head=None,
    ratio=None,
    detail="RuntimeError: no | such `thing` (my_cell.py:3)",
)
MISSING = counted(
    "ugrnn", Verdict.MISSING, metric="cell", base=None, head=None, ratio=None,
    detail="UnknownNameError: There is no cell named 'ugrnn'",
)  # fmt: skip
NEW = counted(
    "mgu", Verdict.NEW, metric="cell", base=None, head=None, ratio=None, detail="not at base: ..."
)
WORSE_SKILL = learned(
    "gru", Verdict.REGRESSED, base=0.99, head=0.41, detail="solved 10 -> 2 of 10 seeds"
)
STILL = timed(CONTROL, low=0.99, high=1.01, ratio=1.001)
MOVED = timed(CONTROL, Verdict.REGRESSED, ratio=1.3, low=1.2, high=1.4)

EVERY = (
    timed(), counted(), learned(), REGRESSED, LARGER, CHANGED, UNSURE, FASTER, ACCEPTED, FAILED,
    MISSING, NEW, WORSE_SKILL, STILL,
)  # fmt: skip
"""Every verdict and kind."""

GOOD = (timed(), timed("gru", metric="inference"), counted(), counted("gru"), learned(), STILL)
"""Nothing to complain of."""

CALIBRATION = Calibration(
    key={"device": "Some CPU"},
    launches=48,
    floors={"lstm train_step": 0.012, "gru inference": 0.041},
    gates=200,
    false_alarms=0.005,
    detectable={"lstm train_step": 0.047, "gru inference": 0.093},
    per_gate=8,
    made_at="2026-01-02T03:04:05+00:00",
)


def gate(*findings: Finding, **changes: Any) -> GateReport:
    given: dict[str, Any] = {
        "run_id": "20260102T030405Z-0123abc",
        "base": "origin/main",
        "base_commit": "0123456789abcdef0123",
        "head_commit": "fedcba9876543210fedc+",
        "findings": findings,
        "control": CONTROL,
        "machine": "Some CPU, 1 thread, torch 2.13.0",
        "elapsed_s": 201.4,
        "started_at": "2026-01-02T03:04:05+00:00",
        "journal": "results/local-gate/gate.jsonl",
        "exit_reason": "no regression",
    }
    return GateReport(**given | changes)


def void(*findings: Finding, **changes: Any) -> GateReport:
    why = f"the control {CONTROL} moved to 1.300x"
    return gate(*findings or (timed(), MOVED), void=why, exit=5, exit_reason=why, **changes)
