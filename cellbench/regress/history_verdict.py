"""Whether a history has become worse lately: what decides an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cellbench.errors import Exit, NothingMeasuredError
from cellbench.report.history_rows import Series

RECENT = 30
"""Commits that are recent: a small change is found only some twenty commits after it."""


@dataclass(frozen=True)
class HistoryVerdict:
    """What was found lately.

    Attributes:
        worse: Series whose newest change is recent, for the worse, and not acknowledged.
        failed: Series whose newest commit could not be measured.
        unknown: Series with too few points, or none that is recent.
        fine: The others.
    """

    worse: tuple[Series, ...]
    failed: tuple[Series, ...]
    unknown: tuple[Series, ...]
    fine: tuple[Series, ...]

    def exit(self, *, inconclusive: bool) -> Exit:
        """Return the exit code.

        Args:
            inconclusive: Whether one series that cannot be judged is a failure.

        Raises:
            NothingMeasuredError: None could be judged.
        """
        if self.worse:
            return Exit.REGRESSED
        if self.failed:
            return Exit.FAILED
        if not self.fine:
            raise NothingMeasuredError(
                f"None of {len(self.unknown)} series could be judged: none has a recent commit and "
                "enough before it. Append more commits."
            )
        return Exit.INCONCLUSIVE if inconclusive and self.unknown else Exit.OK


def judge(series: Sequence[Series], recent: int = RECENT) -> HistoryVerdict:
    """Judge each series but those of the reference itself: its changes are the machine's.

    Args:
        series: With what is acknowledged.
        recent: Commits that are, counted over all that is measured on the branch.
    """
    kinds: dict[str, list[Series]] = {"worse": [], "failed": [], "unknown": [], "fine": []}
    for one in series:
        if not one.is_reference:
            kinds[_kind(one, recent)].append(one)
    return HistoryVerdict(**{name: tuple(members) for name, members in kinds.items()})


def _kind(series: Series, recent: int) -> str:
    if series.recent > recent:
        return "unknown"
    if series.entries[-1].value is None:
        return "failed"
    if series.changes is None:
        return "unknown"
    if not series.changes:
        return "fine"
    newest = series.changes[-1]
    bad = newest.worse and not newest.acknowledged and newest.recent <= recent
    return "worse" if bad else "fine"
