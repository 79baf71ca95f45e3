"""How long a run will still take: from its estimates, and from what it has shown so far.

A function of the schedule, of the events with the times at which they came, and of the time now;
it reads no clock.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from cellbench.record import Trial
from cellbench.sweep.events import Event, Looked, Returned, Started
from cellbench.sweep.pace import Pace
from cellbench.sweep.plan import Job, Stack, Unit
from cellbench.sweep.schedule import Schedule


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Seconds until a run ends.

    Attributes:
        high_s: If every trial uses all its steps.
        low_s: If those on their way and to come stop as early as those that have ended; None
            before any has.
    """

    high_s: float
    low_s: float | None = None


@dataclass(slots=True)
class _Running:
    """A stack in a worker's hands.

    Attributes:
        steps: That each of its units has done which has not ended, by id.
        began_s: When.
        heard_s: When it began, or last told something.
        trained_s: Seconds of training of the units that have ended.
    """

    stack: Stack
    steps: dict[str, int]
    began_s: float
    heard_s: float
    trained_s: float = 0.0


class Outlook:
    """Hears the events of a run, and tells how long it will still take.

    Args:
        schedule: What is to be done, and how long each part should take.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._workers = schedule.workers
        self._waiting = list(schedule.stacks)
        self._running: list[_Running] = []
        self._pace = Pace(schedule.step_s)
        self._besides_s: list[float] = []  # of each stack that has ended, all but training
        self._measuring = _Measuring(schedule)

    def hear(self, event: Event, at_s: float) -> None:
        """Take an event into account.

        Args:
            event: In the order in which they come.
            at_s: When it came.
        """
        if isinstance(event.work, Job):
            self._measuring.hear(event, event.work, at_s)
        elif isinstance(event, Started):
            self._start(event.work, at_s)
        elif isinstance(event, Looked):
            self._pace.note(event.work, event.point.step, event.point.elapsed_s)
            self._hear_of(event.work, at_s).steps[event.work.unit_id] = event.point.step
        elif isinstance(event, Returned):
            self._running = [one for one in self._running if one.stack is not event.work]
            self._waiting[:0] = event.instead
        elif isinstance(event.record, Trial):
            self._end(event.work, event.record, at_s)

    def left(self, now_s: float) -> TimeLeft | None:
        """Return how long it will take from `now_s` on; None before any trial has shown."""
        is_training = bool(self._waiting or self._running)
        if is_training and not self._pace.has_shown:
            return None
        measuring_s = self._measuring.left_s(now_s)
        high_s = self._training_s(now_s, early=False) + measuring_s
        if is_training and not self._pace.has_ended:
            return TimeLeft(high_s)
        return TimeLeft(high_s, self._training_s(now_s, early=True) + measuring_s)

    def _start(self, stack: Stack, at_s: float) -> None:
        self._waiting = [one for one in self._waiting if one is not stack]
        steps = {unit.unit_id: 0 for unit in stack.units}
        self._running.append(_Running(stack, steps, began_s=at_s, heard_s=at_s))

    def _hear_of(self, unit: Unit, at_s: float) -> _Running:
        running = next(one for one in self._running if unit.unit_id in one.steps)
        running.heard_s = at_s
        return running

    def _end(self, unit: Unit, trial: Trial, at_s: float) -> None:
        running = self._hear_of(unit, at_s)
        del running.steps[unit.unit_id]
        running.trained_s += trial.train_s
        if not running.steps:
            self._running.remove(running)
            self._besides_s.append(max(0.0, at_s - running.began_s - running.trained_s))
        if trial.steps:  # one that crashed says nothing of the others
            self._pace.note(unit, trial.steps, trial.train_s)
            self._pace.end(unit, trial.steps)

    def _training_s(self, now_s: float, *, early: bool) -> float:
        """Return when the last worker ends, if each takes the next stack when it is free."""
        ends_s = [
            max(0.0, self._stack_s(one.stack, one.steps, early=early) - (now_s - one.heard_s))
            for one in self._running
        ]
        ends_s += [0.0] * (self._workers - len(ends_s))
        heapq.heapify(ends_s)
        besides_s = statistics.median(self._besides_s or [0.0])
        for stack in self._waiting:
            steps = dict.fromkeys((unit.unit_id for unit in stack.units), 0)
            stack_s = self._stack_s(stack, steps, early=early) + besides_s
            heapq.heapreplace(ends_s, ends_s[0] + stack_s)
        return max(ends_s)

    def _stack_s(self, stack: Stack, steps: Mapping[str, int], *, early: bool) -> float:
        """Return the seconds from these `steps` on to the end of the units that they are of."""
        job = stack.job
        step_s = self._pace.step_s(job)
        most = job.settings.steps * (self._pace.used(job) if early else 1.0)
        limit_s = stack.units[0].time_limit_s
        if limit_s is not None:
            most = min(most, limit_s / step_s)
        return sum(max(0.0, most - done) for done in steps.values()) * step_s


class _Measuring:
    """The pass after all training: one job after another.

    Args:
        schedule: What is to be measured, and how long each should take.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._waiting = list(schedule.jobs)
        self._estimated_s = schedule.measuring_s
        self._current: tuple[Job, float] | None = None  # since when
        self._seen_s = self._expected_s = 0.0  # of those that have ended

    def hear(self, event: Event, job: Job, at_s: float) -> None:
        """Take the start or the end of a measurement into account."""
        if isinstance(event, Started):
            self._current = job, at_s
            keys = [waiting.key for waiting in self._waiting]
            if job.key in keys:  # those before it had been measured
                del self._waiting[: keys.index(job.key) + 1]
        elif self._current is not None:
            self._seen_s += at_s - self._current[1]
            self._expected_s += self._estimated_s[job.key]
            self._current = None

    def left_s(self, now_s: float) -> float:
        """Return how long all that are left will take."""
        correction = self._seen_s / self._expected_s if self._expected_s else 1.0
        left_s = sum(self._estimated_s[job.key] for job in self._waiting) * correction
        if self._current is not None:
            job, since_s = self._current
            left_s += max(0.0, self._estimated_s[job.key] * correction - (now_s - since_s))
        return left_s
