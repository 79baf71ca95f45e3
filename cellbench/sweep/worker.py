"""From a unit to a trial, and from a job to a measurement: the one place where the rooms meet."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from functools import partial
from time import perf_counter

import torch
from msgspec.structs import replace

from cellbench.record import Failure, Measurement, Point, Status, Trial
from cellbench.sweep.costs import measure_costs
from cellbench.sweep.failure import failure
from cellbench.sweep.plan import Job, Stack, Unit, measurement_id
from cellbench.train.baselines import BaselineSpec
from cellbench.train.learned import Learned
from cellbench.train.loop import train
from cellbench.train.model import SequenceModel
from cellbench.train.stacked import train_stack


def build(job: Job, seed: int, device: torch.device) -> SequenceModel:
    """Return a fresh model of `job`, the same for equal seeds on every device."""
    torch.manual_seed(seed)  # for torch's own initialisations; set nowhere else
    generator = job.task.generator
    model = SequenceModel(
        job.build, generator.reads, generator.answers, job.settings.hidden, job.carrier
    )
    return model.to(device)


def run_stack(
    stack: Stack,
    device: torch.device,
    *,
    look: Callable[[int, Point], None],
    keep: Callable[[Trial], None],
) -> None:
    """Train the units of `stack` at once; hand over each trial the moment its seed ends.

    One alone always comes to a trial, since a failure is one too. What goes wrong with several
    is no verdict on any: it is raised.

    Args:
        stack: What to train.
        device: Where.
        look: Told of every look at validation, and of which seed it was.
        keep: Gets each trial.

    Raises:
        StackingError: The cell cannot be stacked.
        Exception: Whatever else the cell does. Units without a trial are to be trained alone.
    """
    if len(stack.units) == 1:
        (unit,) = stack.units
        trial = run_trial(unit, device, look=partial(look, unit.seed))
        reasons = filter(None, (stack.fallback, trial.fallback))
        keep(replace(trial, fallback="; ".join(reasons)))
        return
    started_at = now()
    job, units = stack.job, {unit.seed: unit for unit in stack.units}
    for seed, learned in train_stack(
        [build(job, seed, device) for seed in units],
        job.task,
        seeds=list(units),
        steps=job.settings.steps,
        clock=perf_counter,
        time_limit_s=stack.units[0].time_limit_s,
        learning_rate=job.settings.learning_rate,
        look=look,
    ):
        keep(_trial(units[seed], learned, started_at))


def run_trial(
    unit: Unit, device: torch.device, *, look: Callable[[Point], None] = lambda _: None
) -> Trial:
    """Train one cell on one level with one seed; a failure is a trial too."""
    started_at, spec = now(), unit.job.spec
    try:
        if isinstance(spec, BaselineSpec):
            return _trial(unit, spec.learn(unit.job.task, unit.seed, device), started_at)
        learned = train(
            build(unit.job, unit.seed, device),
            unit.job.task,
            seed=unit.seed,
            steps=unit.job.settings.steps,
            clock=perf_counter,
            time_limit_s=unit.time_limit_s,
            learning_rate=unit.job.settings.learning_rate,
            look=look,
        )
    except Exception as error:  # noqa: BLE001 -- whatever a cell does is a row
        status, why = failure(error)
        return failed_trial(unit, status, why, started_at)
    return _trial(unit, learned, started_at)


def failed_trial(unit: Unit, status: Status, error: Failure, started_at: str) -> Trial:
    """Return the row of a unit that has no result."""
    job = unit.job
    return Trial(
        unit_id=unit.unit_id,
        cell=job.spec.text,
        cell_source=job.spec.source_digest,
        level=job.level,
        seed=unit.seed,
        settings=job.settings,
        status=status,
        error=error,
        time_limit_s=unit.time_limit_s,
        started_at=started_at,
    )


def _trial(unit: Unit, learned: Learned, started_at: str) -> Trial:
    test, status, reason = learned.test, learned.status, learned.reason
    if test is not None and not test.finite:
        status, reason, test = Status.DIVERGED, "the test loss was not finite", None
    solved, task, how = learned.steps_to_solve, unit.job.task, learned.how
    error = Failure(type=status.value, message=reason)
    return replace(
        failed_trial(unit, status, error, started_at),
        error=error if reason else None,
        curve=tuple(learned.curve),
        steps=learned.steps,
        steps_to_solve=solved,
        sequences_to_solve=None if solved is None else solved * task.budget.batch,
        test_metric=test.metric if test else None,
        test_loss=test.loss if test else None,
        skill=task.skill(test.metric) if test else None,
        exact_rate=test.exact_rate if test else None,
        ladder=learned.ladder,
        train_s=learned.train_s,
        unrolled=how.unrolled,
        captured=how.captured,
        fallback=how.fallback,
        parity_error=how.parity_error if math.isfinite(how.parity_error) else None,
        compile_s=how.compile_s,
        stacked=how.stacked,
    )


def run_measurement(job: Job, device: torch.device, env: str) -> Measurement:
    """Measure what a cell costs; alone on the machine, in a process that holds nothing else."""
    try:
        return measure_costs(_blank(job, env), build(job, 0, device), job.task)
    except Exception as error:  # noqa: BLE001 -- whatever a cell does is a row
        return failed_measurement(job, env, *failure(error))


def failed_measurement(job: Job, env: str, status: Status, error: Failure) -> Measurement:
    """Return the row of a job that could not be measured."""
    return replace(_blank(job, env), status=status, error=error)


def _blank(job: Job, env: str) -> Measurement:
    return Measurement(
        measurement_id=measurement_id(job, env),
        cell=job.spec.text,
        cell_source=job.spec.source_digest,
        level=job.level,
        settings=job.settings,
        status=Status.OK,
        started_at=now(),
        env=env,
    )


def now() -> str:
    """Return the time, for a record."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
