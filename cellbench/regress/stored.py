"""A stored baseline: what head was, in a file that is reviewed like code.

A weaker promise than a base that is measured beside head: both are divided by the control, torch's
own LSTM in the same launch, which takes out how fast the machine was that day, and nothing else.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from cellbench.errors import IncomparableError, NothingMeasuredError, OptionError, StoreError
from cellbench.record import Environment
from cellbench.regress.exact import judge_facts
from cellbench.regress.gate import Gate, differences
from cellbench.regress.judge import Ratio, confirmed, judge_ratios
from cellbench.regress.plan import FEWEST_LAUNCHES, Key
from cellbench.store.journal import Journal, is_torn
from cellbench.verdicts import (
    Block,
    Facts,
    Finding,
    GateLine,
    Kind,
    Launch,
    Stage,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a baseline's file has.

    Attributes:
        commit: That it was made of.
        environment: Where.
        facts: By cell.
        launches: Of that commit alone.
    """

    commit: str
    environment: Environment
    facts: Mapping[str, Facts]
    launches: tuple[Launch, ...]


def read_stored(path: Path) -> Stored:
    """Read a baseline.

    Raises:
        NothingMeasuredError: There is none, or nothing in it.
        StoreError: It is torn or damaged: a baseline that may lack lines is none.
    """
    if not path.is_file():
        raise NothingMeasuredError(
            f"There is no baseline {path}. `cellbench gate --save-baseline {path}` makes one."
        )
    if is_torn(path):
        raise StoreError(
            f"{path} is torn: its last line has no end. Restore the file from a copy, or make it "
            "anew with --save-baseline."
        )
    lines: list[GateLine] = list(Journal(path, kind=GateLine))
    environments = [line for line in lines if isinstance(line, Environment)]
    facts = {line.cell: line for line in lines if isinstance(line, Facts)}
    launches = tuple(line for line in lines if isinstance(line, Launch))
    if not environments or not facts or not launches:
        raise NothingMeasuredError(
            f"{path} has nothing to compare with: no facts or no launches are in it."
        )
    return Stored(launches[0].head, environments[-1], facts, launches)


def save(gate: Gate, path: Path) -> None:
    """Write what a gate measured of head as a baseline; all of it, or nothing.

    Raises:
        OptionError: Head is no commit, or a cell failed.
        StoreError: It cannot be written.
    """
    if gate.commits["head"].endswith("+"):
        raise OptionError("A baseline is made of a commit; commit or stash what was changed first.")
    broken = [cell for cell, facts in gate.facts["head"].items() if facts.error is not None]
    if broken or gate.failed:
        names = ", ".join([*broken, *gate.failed])
        raise OptionError(f"No baseline was written, since this failed: {names}.")
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    journal: Journal = Journal(draft, kind=GateLine)
    if gate.environment is not None:
        journal.append(gate.environment)
    for facts in gate.facts["head"].values():
        journal.append(facts)
    for launch in gate.launches[Stage.FIRST]:
        journal.append(replace(launch, base="", blocks=tuple(map(_alone, launch.blocks))))
    draft.replace(path)
    Path(f"{draft}.lock").unlink(missing_ok=True)


def _alone(block: Block) -> Block:
    return replace(block, base_s=())


def against(stored: Stored, gate: Gate) -> list[Finding]:
    """Measure head alone, and judge it by what is stored.

    Raises:
        IncomparableError: The baseline is of another machine.
    """
    plan = gate.plan
    gate.count()
    environment = gate.environment
    differing = differences(stored.environment.key, environment.key if environment else {})
    if differing:
        raise IncomparableError(
            f"The baseline is of another machine: {differing}. Make one here, with "
            "--save-baseline, or compare with a revision, --base REV."
        )
    head = gate.facts["head"]
    found: list[Finding] = []
    for cell in plan.cells:
        if cell in stored.facts:
            found += judge_facts(stored.facts[cell], head[cell])
        else:
            found.append(_new(cell))
    keys = [key for key in gate.timeable() if key[0] in stored.facts]
    gate.time(Stage.FIRST, keys)
    times = _judged(stored, gate, Stage.FIRST, keys)
    suspects = [key for key, seen in times.items() if seen.verdict is Verdict.REGRESSED]
    if suspects:
        gate.time(Stage.CONFIRM, suspects)
        again = _judged(stored, gate, Stage.CONFIRM, suspects)
        times |= {key: confirmed(times[key], again.get(key)) for key in suspects}
    return [*found, *times.values()]


def _new(cell: str) -> Finding:
    detail = "not in the baseline"
    return Finding(cell=cell, metric="cell", kind=Kind.EXACT, verdict=Verdict.NEW, detail=detail)


def _judged(stored: Stored, gate: Gate, stage: Stage, keys: Sequence[Key]) -> dict[Key, Finding]:
    control, margin = gate.plan.control, gate.plan.margin_of
    described, ratios = {}, {}
    for key in keys:
        before = _relative(stored.launches, key, control)
        after = _relative(gate.launches.get(stage, ()), key, control)
        few = min(len(before), len(after))
        described[key] = Finding(
            cell=key[0],
            metric=key[1],
            kind=Kind.TIME,
            verdict=Verdict.INCONCLUSIVE,
            base=math.exp(statistics.fmean(before)) if before else None,
            head=math.exp(statistics.fmean(after)) if after else None,
            margin=margin(*key),
            launches=few,
            detail=f"only {few} of at least {FEWEST_LAUNCHES} launches on either side",
        )
        if few >= FEWEST_LAUNCHES:
            ratios[key] = _welch(before, after)
    strict = stage is Stage.CONFIRM
    return described | judge_ratios(ratios, described, margin, strict=strict)


def _relative(launches: Sequence[Launch], key: Key, control: str) -> list[float]:
    """Return log(time of a call / time of the control's), for each launch that has both."""
    found = []
    for launch in launches:
        blocks = {(b.cell, b.metric): statistics.median(b.head_s) / b.calls for b in launch.blocks}
        if key in blocks and (control, key[1]) in blocks:
            found.append(math.log(blocks[key] / blocks[control, key[1]]))
    return found


def _welch(before: Sequence[float], after: Sequence[float]) -> Ratio:
    """Return the difference of two means of unequal spread, with Welch's degrees of freedom."""
    parts = [statistics.variance(side) / len(side) for side in (before, after)]
    total = sum(parts)
    shares = sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (before, after), strict=True)
    )
    freedom = total**2 / shares if shares else len(before) + len(after) - 2
    mean = statistics.fmean(after) - statistics.fmean(before)
    return Ratio(mean, math.sqrt(total), max(2, math.floor(freedom) + 1))
