"""From launches to verdicts on times: pure, with four outcomes; "cannot tell" is never a pass."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from cellbench.regress.plan import ALPHA, FEWEST_LAUNCHES, Key
from cellbench.stats.multiplicity import benjamini_hochberg, holm
from cellbench.verdicts import Block, Finding, Kind, Launch, Verdict

Margin = Callable[[str, str], float]
"""Cell and metric -> smallest change that matters, as a share."""

FEWEST_ROUNDS = 0.5
"""Share of a launch's rounds that must be undisturbed; else all of them count, since a machine
that is disturbed as often is what there is, and the launch shows it by its spread."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """The logarithm of head's time over base's, over launches.

    Attributes:
        mean: Over launches, of each launch's median.
        error: Standard error of the mean.
        launches: How many.
    """

    mean: float
    error: float
    launches: int

    def p_above(self, limit: float) -> float:
        """Return the p-value of "not above `limit`", one-sided."""
        from scipy.stats import t  # noqa: PLC0415 -- takes a second; `--help` must not wait for it

        if self.error == 0:
            return float(self.mean <= limit)
        return float(t.sf((self.mean - limit) / self.error, self.launches - 1))

    def p_below(self, limit: float) -> float:
        """Return the p-value of "not below `limit`", one-sided."""
        return Ratio(-self.mean, self.error, self.launches).p_above(-limit)

    def bounds(self, alpha: float = ALPHA) -> tuple[float, float]:
        """Return the one-sided lower and upper bounds, as ratios."""
        from scipy.stats import t  # noqa: PLC0415 -- as above

        half = float(t.ppf(1 - alpha, self.launches - 1)) * self.error
        return math.exp(self.mean - half), math.exp(self.mean + half)


def log_ratio(block: Block) -> float:
    """Return the median, over the rounds of a launch, of log(head / base).

    The launch is the unit of replication: rounds of one process resemble each other.
    """
    dropped = set(block.dropped)
    pairs = list(zip(block.base_s, block.head_s, strict=True))
    kept = [pair for number, pair in enumerate(pairs) if number not in dropped]
    if len(kept) < FEWEST_ROUNDS * len(pairs):
        kept = pairs
    return statistics.median(math.log(head_s / base_s) for base_s, head_s in kept)


def ratio_of(logs: Sequence[float]) -> Ratio:
    """Return the ratio that several launches come to."""
    return Ratio(statistics.fmean(logs), statistics.stdev(logs) / len(logs) ** 0.5, len(logs))


def judge_times(
    planned: Iterable[Key], launches: Sequence[Launch], margin: Margin, *, strict: bool = False
) -> dict[Key, Finding]:
    """Judge what was `planned`, not what turned up.

    Args:
        planned: Cells and metrics.
        launches: Of one stage.
        margin: Smallest change that matters.
        strict: Whether the p-values are corrected so that not even one is wrong (Holm), as for
            the confirmation; else so that few are (Benjamini and Hochberg).
    """
    blocks: dict[Key, list[Block]] = {key: [] for key in planned}
    for block in (block for launch in launches for block in launch.blocks):
        if (block.cell, block.metric) in blocks:
            blocks[block.cell, block.metric].append(block)
    findings = {key: _described(*key, found, margin(*key)) for key, found in blocks.items()}
    ratios = {
        key: ratio_of([log_ratio(block) for block in found])
        for key, found in blocks.items()
        if len(found) >= FEWEST_LAUNCHES
    }
    return findings | judge_ratios(ratios, findings, margin, strict=strict)


def judge_ratios(
    ratios: Mapping[Key, Ratio],
    described: Mapping[Key, Finding],
    margin: Margin,
    *,
    strict: bool = False,
) -> dict[Key, Finding]:
    """Give each ratio its verdict, corrected for all that are judged together."""
    if not ratios:
        return {}
    correct = holm if strict else benjamini_hochberg
    limits = {key: math.log1p(margin(*key)) for key in ratios}
    worse = [ratio.p_above(limits[key]) for key, ratio in ratios.items()]
    better = [ratio.p_below(-limits[key]) for key, ratio in ratios.items()]
    found = {}
    rows = zip(ratios.items(), worse, correct(worse), correct(better), strict=True)
    for (key, ratio), p, q, q_better in rows:
        low, high = ratio.bounds()
        verdict, detail = _verdict(ratio, limits[key], q, q_better)
        found[key] = replace(
            described[key],
            verdict=verdict,
            ratio=math.exp(ratio.mean),
            low=low,
            high=high,
            p=p,
            q=q,
            detail=detail,
        )
    return found


def _verdict(ratio: Ratio, limit: float, q_worse: float, q_better: float) -> tuple[Verdict, str]:
    if q_worse < ALPHA:
        return Verdict.REGRESSED, ""
    if q_better < ALPHA:
        return Verdict.IMPROVED, ""
    low, high = (math.log(bound) for bound in ratio.bounds())
    if -limit < low and high < limit:
        return Verdict.EQUIVALENT, ""
    needed = _launches_needed(ratio, limit)
    return Verdict.INCONCLUSIVE, f"cannot tell; about --launches {needed} would"


def _launches_needed(ratio: Ratio, limit: float) -> int:
    """Return roughly how many launches would settle it, if it stayed where it is."""
    room = abs(abs(ratio.mean) - limit)
    spread = ratio.error * ratio.launches**0.5
    needed = (2 * spread / max(room, 1e-3)) ** 2 if spread else 0
    return max(ratio.launches + 4, min(100, math.ceil(needed)))


def _described(cell: str, metric: str, blocks: Sequence[Block], margin: float) -> Finding:
    """Return what is known before there is a verdict: that there are too few launches."""
    few = f"only {len(blocks)} of at least {FEWEST_LAUNCHES} launches came to an end"
    return Finding(
        cell=cell,
        metric=metric,
        kind=Kind.TIME,
        verdict=Verdict.INCONCLUSIVE,
        unit="s",
        base=_call_s([block.base_s for block in blocks], blocks),
        head=_call_s([block.head_s for block in blocks], blocks),
        margin=margin,
        launches=len(blocks),
        dropped=sum(len(block.dropped) for block in blocks),
        detail=few,
    )


def _call_s(seconds: Sequence[Sequence[float]], blocks: Sequence[Block]) -> float | None:
    """Return the median seconds of a call, over launches."""
    found = [
        statistics.median(times_s) / block.calls
        for times_s, block in zip(seconds, blocks, strict=True)
        if times_s
    ]
    return statistics.median(found) if found else None


def confirmed(first: Finding, again: Finding | None) -> Finding:
    """Return the verdict on a regression after fresh processes measured once more.

    What they found stands, since it was not picked for being large.
    """
    if again is None or again.ratio is None:
        what = "it could not be measured once more" if again is None else again.detail
        return replace(first, verdict=Verdict.INCONCLUSIVE, confirmed=False, detail=what)
    if again.verdict is Verdict.REGRESSED:
        return replace(again, confirmed=True)
    detail = (
        f"{first.ratio:.3f}x at first, but fresh processes did not agree "
        f"({again.ratio:.3f}x); run it again"
    )
    return replace(again, verdict=Verdict.INCONCLUSIVE, confirmed=False, detail=detail)


def control_moved(finding: Finding) -> str:
    """Say that the control moved, beyond its margin and any doubt; "" if it did not."""
    if finding.verdict not in {Verdict.REGRESSED, Verdict.IMPROVED} or finding.ratio is None:
        return ""
    return (
        f"the control {finding.cell} is the same code on both sides, and its {finding.metric} "
        f"moved to {finding.ratio:.3f}x [{finding.low:.3f}, {finding.high:.3f}]: something else "
        "than the cells changed"
    )
