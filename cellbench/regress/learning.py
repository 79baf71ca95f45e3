"""Verdicts on what was learned: by the first losses where these agree, by pairs of seeds else."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cellbench.regress.exact import relative_difference
from cellbench.regress.plan import ALPHA
from cellbench.stats.intervals import t_interval
from cellbench.stats.multiplicity import holm
from cellbench.stats.paired import mcnemar, sign_flip
from cellbench.verdicts import Facts, Finding, Kind, Verdict

FEWEST_SEEDS = 5
"""Below this nothing is said to be worse or better."""

SURE_SEEDS = 10
"""From this on a worse result fails the gate; with fewer it is told, and is no verdict."""

MARGIN = 0.1
"""Largest difference of mean skill that is taken for none."""

ROUNDING = 1e-5
"""Largest relative difference of a loss in float32 that comes of sums in another order."""


def start_differs(base: Facts, head: Facts, level: str) -> float:
    """Return the largest relative difference of the first losses; inf if there are none."""
    before, after = base.curves.get(level, {}), head.curves.get(level, {})
    if not before or before.keys() != after.keys():
        return math.inf
    return max(relative_difference(losses, after[seed]) for seed, losses in before.items())


def judge_learning(pairs: Sequence[tuple[Facts, Facts]], level: str) -> list[Finding]:
    """Judge each cell that was counted on both sides.

    Skill decides, and whether a seed solved the level; both by exact tests of pairs, corrected
    (Holm) over all cells, since each may fail the gate.
    """
    found = [_described(base, head, level) for base, head in pairs]
    tested = [n for n, finding in enumerate(found) if finding.p is not None]
    corrected = holm([found[n].p or 0.0 for n in tested])
    for n, q in zip(tested, corrected, strict=True):
        found[n] = _verdict(replace(found[n], q=q), *pairs[n], level)
    return found


def _described(base: Facts, head: Facts, level: str) -> Finding:
    blank = Finding(cell=head.cell, metric=level, kind=Kind.ACCURACY, verdict=Verdict.INCONCLUSIVE)
    gap = start_differs(base, head, level)
    if gap <= ROUNDING:
        count = len(head.curves[level])
        how = "bit for bit" if gap == 0 else f"but for rounding, {gap:.0e}"
        detail = f"first losses of {count} seeds equal, {how}"
        return replace(blank, verdict=Verdict.EQUIVALENT, launches=count, detail=detail)
    before, after = base.skills.get(level, {}), head.skills.get(level, {})
    seeds = sorted(before.keys() & after.keys())
    if not seeds:
        reason = base.texts.get("learning") or head.texts.get("learning") or "not trained"
        failed = Verdict.FAILED if "learning" in head.texts else Verdict.INCONCLUSIVE
        return replace(blank, verdict=failed, detail=reason)
    differences = _differences(base, head, level)
    return replace(
        blank,
        base=statistics.fmean(before[seed] for seed in seeds),
        head=statistics.fmean(after[seed] for seed in seeds),
        p=min(1.0, 2 * min(_p_worse(differences), _p_unsolved(base, head, level, seeds))),
        launches=len(seeds),
    )


def _differences(base: Facts, head: Facts, level: str) -> list[float]:
    before, after = base.skills.get(level, {}), head.skills.get(level, {})
    return [after[seed] - before[seed] for seed in sorted(before.keys() & after.keys())]


def _p_worse(differences: Sequence[float]) -> float:
    return sign_flip(differences, alternative="less").p


def _p_unsolved(base: Facts, head: Facts, level: str, seeds: Sequence[str]) -> float:
    before, after = _solved(base, level), _solved(head, level)
    return mcnemar(
        [after[seed] for seed in seeds], [before[seed] for seed in seeds], alternative="less"
    ).p


def _solved(facts: Facts, level: str) -> Mapping[str, bool]:
    return facts.solved.get(level, {})


def _verdict(found: Finding, base: Facts, head: Facts, level: str) -> Finding:
    before, after = _solved(base, level), _solved(head, level)
    counted = f"solved {sum(before.values())} -> {sum(after.values())} of {found.launches} seeds"
    if found.launches < FEWEST_SEEDS:
        return replace(found, detail=f"{counted}: too few to tell; at least {SURE_SEEDS} do")
    if (found.q or 0.0) < ALPHA:
        if found.launches < SURE_SEEDS:
            return replace(found, detail=f"{counted}: worse, but {SURE_SEEDS} seeds are needed")
        return replace(found, verdict=Verdict.REGRESSED, detail=counted)
    differences = _differences(base, head, level)
    if sign_flip(differences, alternative="greater").p < ALPHA:
        return replace(found, verdict=Verdict.IMPROVED, detail=counted)
    interval = t_interval(differences, level=1 - 2 * ALPHA)
    if interval.low > -MARGIN and interval.high < MARGIN:
        return replace(found, verdict=Verdict.EQUIVALENT, detail=counted)
    return replace(found, detail=f"{counted}: cannot tell; more --seeds would")
