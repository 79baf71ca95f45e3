"""How long training and measuring will take, before any of it is done.

Never of a clock: equal plans and equal journals give equal estimates. They are to choose an order
by, and to begin with; what a run then sees of itself corrects them (`time_left`).
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterable

import torch
from msgspec.structs import replace

from cellbench.catalog import Task
from cellbench.cells.base import Cell, ParallelCell
from cellbench.generators.stream import Stream
from cellbench.plugins import CellSpec, check_buildable
from cellbench.record import AnyLine, Level, Settings
from cellbench.store.journal import measurements, trials
from cellbench.sweep.plan import Job, Stack
from cellbench.train.baselines import BaselineSpec
from cellbench.unroll import Way

OPERATIONS_PER_S = {"cpu": 5e10, "cuda": 5e12}
"""Of the small matrix products of a cell, about."""

OVERHEAD_S = {"cpu": 5e-4, "cuda": 1e-3}
"""Of one time step, forward and backward, that is carried by itself: calls, not arithmetic."""

UPDATE_S = 1e-3
"""Of one training step besides the cell: drawing, loss, optimiser."""

TRAINING = 3
"""Operations forward and backward, in those forward."""

START_S = 8.0
"""Of one measurement besides the timed calls: a new process, memory, sizes."""

TIMED_S = 3.0
"""Of one measurement: the budgets of its timings together."""

BASELINE_S = 10.0
"""Of one that is not trained at all."""

CALLS = 20
"""Training steps that it takes at least, warming up included."""

INPUT, HIDDEN = 8, 64
"""Sizes of the cells that are looked at: those that every cell has been built with already."""

Key = tuple[str, str, str, Settings]


class Estimates:
    """Seconds of what a plan asks for.

    Of a job that was trained before, by its trials; of one that was measured, by its training
    step; of others, by what their parameters and time steps should cost: right within a few
    times, which is enough to tell long from short.

    Args:
        lines: Of the journal.
    """

    def __init__(self, lines: Iterable[AnyLine]) -> None:
        lines = list(lines)
        tried: dict[Key, list[float]] = {}
        for trial in trials(lines):
            if trial.steps and trial.train_s:
                key = _key(trial.cell, trial.cell_source, trial.level, trial.settings)
                tried.setdefault(key, []).append(trial.train_s / trial.steps)
        self._seen_s = {
            _key(m.cell, m.cell_source, m.level, m.settings): m.train_step.call_s
            for m in measurements(lines)
            if m.train_step
        } | {key: statistics.median(found) for key, found in tried.items()}

    def step_s(self, job: Job) -> float:
        """Return the seconds of one training step of one seed."""
        key = _key(job.spec.text, job.spec.source_digest, job.level, job.settings)
        if key not in self._seen_s:
            self._seen_s[key] = reckoned_step_s(job)
        return self._seen_s[key]

    def training_s(self, stack: Stack) -> float:
        """Return the seconds that the units of `stack` take if they use all their steps.

        As if one after the other: what a stack saves, a run sees for itself.
        """
        return len(stack.units) * stack.job.settings.steps * self.step_s(stack.job)

    def measuring_s(self, job: Job) -> float:
        """Return the seconds that measuring `job` takes."""
        return START_S + TIMED_S + CALLS * self.step_s(job)


def reckoned_step_s(job: Job) -> float:
    """Return about how many seconds a training step takes.

    The cell is not run: what it does is for workers to find out.
    """
    settings = job.settings
    if isinstance(job.spec, BaselineSpec):
        return BASELINE_S / settings.steps
    each_s = TRAINING * operations_a_step(job) / OPERATIONS_PER_S[settings.device]
    if not isinstance(specimen(job.spec), ParallelCell) or settings.unroll == Way.STEPWISE:
        each_s += OVERHEAD_S[settings.device]
    return UPDATE_S + length_of(job.task) * each_s


def operations_a_step(job: Job) -> float:
    """Return about how many operations one time step of a batch has: two a parameter, forward.

    The parameters are counted at the sizes at which every cell has been built before, and grown.
    """
    if isinstance(job.spec, BaselineSpec):
        return 0.0
    parameters = sum(parameter.numel() for parameter in specimen(job.spec).parameters())
    return 2 * parameters * (job.settings.hidden / HIDDEN) ** 2 * job.task.budget.batch


@functools.cache
def specimen(spec: CellSpec) -> Cell:
    """Return a cell of this kind, of small sizes, to look at."""
    return check_buildable(spec, INPUT, HIDDEN)


def length_of(task: Task) -> int:
    """Return the time steps of a sequence."""
    return len(task.generator.sample(Stream(0, "train"), torch.arange(1)).inputs)


def _key(cell: str, source: str, level: Level, settings: Settings) -> Key:
    """Return what decides the seconds of a step: all of a job but how many and how large."""
    return cell, source, level.digest, replace(settings, steps=0, learning_rate=0.0)
