"""What a gate leaves behind: what was timed and counted on both sides, and what is made of it.

*Base* is the code before a change, *head* the code after it. A *launch* is one pair of fresh
processes, one a side; in each *round* of it both time a block of calls, one directly after the
other. Launches and facts are lines of a journal, raw. A *report* is made of them: a *finding* for
each cell and metric, each with a *verdict*.
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

from cellbench.record import Environment, Failure, Line


class Verdict(enum.StrEnum):
    """What was found about one metric of one cell."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"  # never the same as equivalent
    CHANGED = "changed"  # what must stay the same, such as outputs, did not
    ACCEPTED = "accepted"  # changed or regressed, and the user had said that it would
    FAILED = "failed"  # head cannot do what base can
    MISSING = "missing"  # measured at base, and not there at head
    NEW = "new"  # at head only: nothing to compare with


class Kind(enum.StrEnum):
    """How a metric is judged."""

    TIME = "time"  # by intervals over launches
    EXACT = "exact"  # by equality
    ACCURACY = "accuracy"  # by pairs of seeds


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one cell in one launch: blocks of calls, a pair a round.

    Attributes:
        metric: "train_step", "inference" or "streaming".
        calls: Calls between two readings of the clock, on either side.
        base_s: Seconds of base's block, a round each; empty where head alone was timed.
        head_s: Likewise.
        dropped: Numbers of rounds in which something else disturbed either side.
    """

    cell: str
    metric: str
    calls: int
    base_s: tuple[float, ...]
    head_s: tuple[float, ...]
    dropped: tuple[int, ...] = ()


class Stage(enum.StrEnum):
    """What a launch was made for."""

    FIRST = "first"
    CONFIRM = "confirm"  # what had regressed at first


class Launch(Line, frozen=True, kw_only=True, tag="launch"):
    """What one pair of fresh processes timed.

    Attributes:
        run_id: The gate that it belongs to.
        number: From 0, over all stages.
        base: Commit of base; "" where head alone was timed.
        head: Commit of head, with "+" behind it where files had been changed since.
        env: Digest of the environment, of both.
        load: Load average when it began; None where unknown.
    """

    run_id: str
    number: int
    stage: Stage
    base: str
    head: str
    blocks: tuple[Block, ...]
    started_at: str = ""
    env: str = ""
    load: float | None = None


class Facts(Line, frozen=True, kw_only=True, tag="facts"):
    """What was counted of one cell on one side: no noise, no statistics.

    Attributes:
        side: "base" or "head".
        values: Exact metric -> number.
        texts: Exact metric -> what must be equal, such as how the cell was carried through time.
        outputs: Of a fixed sequence from fixed weights in float64, flat.
        curves: Level -> seed -> loss at each of the first training steps.
        skills: Level -> seed -> skill, where training was done.
        solved: Level -> seed -> whether the level's mark was reached.
        error: Why there is nothing.
    """

    run_id: str
    side: str
    commit: str
    cell: str
    values: dict[str, float] = msgspec.field(default_factory=dict)
    texts: dict[str, str] = msgspec.field(default_factory=dict)
    outputs: tuple[float, ...] = ()
    curves: dict[str, dict[str, tuple[float, ...]]] = msgspec.field(default_factory=dict)
    skills: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    solved: dict[str, dict[str, bool]] = msgspec.field(default_factory=dict)
    error: Failure | None = None


GateLine = Environment | Launch | Facts
"""The lines of a gate's journal."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one cell: what was found, and what a person needs to believe it.

    Attributes:
        unit: Of `base` and `head`: "s", "bytes", "operations", "" for plain numbers.
        base: Median seconds of a call, or the number; None where there is none.
        ratio: Head over base, above 1 is worse; of accuracy None, and `head - base` is the
            difference of mean skills.
        low: One-sided 95 % lower bound of `ratio`; `high` the upper one.
        margin: Largest change that is taken for none: 0.03 is 3 %.
        p: Of no change beyond `margin` for the worse; None without statistics.
        q: The same after correction for all comparisons of the gate.
        launches: That `ratio` is made of; of accuracy, the seeds.
        dropped: Rounds left out, since something else disturbed them.
        confirmed: Whether fresh processes agreed; None where none were asked.
        detail: What to know, in one line: why, and what would settle it.
    """

    cell: str
    metric: str
    kind: Kind
    verdict: Verdict
    unit: str = ""
    base: float | None = None
    head: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    p: float | None = None
    q: float | None = None
    launches: int = 0
    dropped: int = 0
    confirmed: bool | None = None
    detail: str = ""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What gates of this machine are worth: found by comparing code with itself.

    Attributes:
        key: Facts of the machine that must be the same.
        launches: Pairs of processes that it is made of.
        floors: "CELL METRIC" -> half width, as a share, within which 99 % of gates that compare
            equal code find their ratio.
        gates: Gates of equal code that were resampled.
        false_alarms: Share of them that found a regression.
        detectable: "CELL METRIC" -> smallest slow-down, as a share, that is caught in 95 %.
        per_gate: Launches a gate, for which the last three hold.
    """

    key: dict[str, str]
    launches: int
    floors: dict[str, float]
    gates: int
    false_alarms: float
    detectable: dict[str, float]
    per_gate: int
    made_at: str = ""


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that one gate found.

    Attributes:
        base: What was asked for: a revision, a folder, or a stored baseline's file.
        base_commit: What that was; of a stored baseline, the commit it was made of.
        head_commit: With "+" behind it where files had been changed since.
        control: Cell that is the same code on both sides.
        void: Why nothing here may be believed; "" if it may.
        advisory: What weakens the promise: a loaded machine, a stored baseline.
        machine: In words.
        calibration: Of this machine, if there is one.
        exit: The exit code, and `exit_reason` why.
        journal: Where the raw values are.
    """

    schema: int = 1
    run_id: str
    base: str
    base_commit: str
    head_commit: str
    findings: tuple[Finding, ...]
    control: str = ""
    void: str = ""
    advisory: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    machine: str = ""
    calibration: Calibration | None = None
    exit: int = 0
    exit_reason: str = ""
    elapsed_s: float = 0.0
    started_at: str = ""
    journal: str = ""


class HistoryPoint(Line, frozen=True, kw_only=True, tag="point"):
    """One metric of one cell at one commit: what a line of the history is about.

    Attributes:
        run_id: The gate or run that measured it.
        commit: As long as it was known.
        committed_at: When, in UTC; "" where git did not know it.
        branch: That the commit was on; "" where unknown.
        dirty: Whether files had been changed since the commit.
        at: What it was measured on: level, sizes, settings; "" where the gate fixes them.
        unit: Of `value`: "s", "bytes", "operations", "" for plain numbers.
        exact: Whether it is counted, not timed: then every difference is one.
        value: Median of `values`; None where it could not be measured.
        values: One a launch, raw.
        ratio: To `reference`, measured in the same launches; None without one.
        reference: A cell that the project does not change.
        error: Why there is no value.
        env: Digest of the environment: points are compared only if its key is the same.
    """

    run_id: str
    commit: str
    committed_at: str = ""
    branch: str = ""
    dirty: bool = False
    cell: str
    metric: str
    at: str = ""
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"
    exact: bool = False
    value: float | None
    values: tuple[float, ...] = ()
    ratio: float | None = None
    reference: str = ""
    error: str = ""
    env: str
    measured_at: str = ""


HistoryLine = Environment | HistoryPoint
"""The lines of a history."""
