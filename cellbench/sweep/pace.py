"""How fast the trials of a run have been so far, and how early they stopped."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from cellbench.sweep.plan import Job, Unit


@dataclass(slots=True)
class _Shown:
    """What the trials of one job have shown, by the ids of its units.

    Attributes:
        seconds: Of training; of a stack, the unit's share.
        steps: That these took.
        used: Share of all its steps that a unit used before it ended by itself.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)


class Pace:
    """Estimates of seconds a step, corrected by what was seen.

    Args:
        step_s: Estimated seconds of a training step of a unit, by the key of its job.
    """

    def __init__(self, step_s: Mapping[str, float]) -> None:
        self._estimated_s = step_s
        self._shown: dict[str, _Shown] = {}

    def note(self, unit: Unit, steps: int, seconds: float) -> None:
        """Take note of how far a unit has come."""
        shown = self._shown.setdefault(unit.job.key, _Shown())
        shown.steps[unit.unit_id] = steps
        shown.seconds[unit.unit_id] = seconds

    def end(self, unit: Unit, steps: int) -> None:
        """Take note of how many steps a unit used that ended by itself."""
        shown = self._shown.setdefault(unit.job.key, _Shown())
        shown.used[unit.unit_id] = steps / unit.job.settings.steps

    @property
    def has_shown(self) -> bool:
        """Whether any unit has come anywhere."""
        return any(sum(shown.steps.values()) for shown in self._shown.values())

    def step_s(self, job: Job) -> float:
        """Return the seconds of a step of a unit: as seen of its job, or as estimated, times
        what those seen took over their estimates.
        """  # noqa: D205 -- one sentence, too long for a line
        shown = self._shown.get(job.key)
        if shown and sum(shown.steps.values()):
            return sum(shown.seconds.values()) / sum(shown.steps.values())
        return self._estimated_s[job.key] * self._correction()

    @property
    def has_ended(self) -> bool:
        """Whether any unit has ended by itself."""
        return any(shown.used for shown in self._shown.values())

    def used(self, job: Job) -> float:
        """Return the share of its steps that a unit of `job` uses: the mean of its own that have
        ended, or of all that have.
        """  # noqa: D205 -- one sentence, too long for a line
        own = self._shown.get(job.key, _Shown()).used.values()
        return statistics.mean(
            list(own) or [used for shown in self._shown.values() for used in shown.used.values()]
        )

    def _correction(self) -> float:
        seen_s = sum(sum(shown.seconds.values()) for shown in self._shown.values())
        estimated_s = sum(
            sum(shown.steps.values()) * self._estimated_s[key] for key, shown in self._shown.items()
        )
        return seen_s / estimated_s if estimated_s else 1.0
