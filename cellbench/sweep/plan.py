"""What a run will do, in full, before it does anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import msgspec
import torch
from msgspec.structs import replace

from cellbench.catalog import Task
from cellbench.cells.base import Cell
from cellbench.errors import OptionError
from cellbench.generators.stream import Stream
from cellbench.record import AnyLine, Level, Settings, Status
from cellbench.store.journal import trials
from cellbench.sweep.match import matched
from cellbench.train.baselines import BaselineSpec, Spec
from cellbench.train.draws import draw
from cellbench.train.network import Network
from cellbench.unroll import Carrier, Way


def digest(*parts: object) -> str:
    """Return a short name for `parts`, equal for equal parts on every machine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


LATER_SETTINGS = (
    "depth", "block", "dropout", "bidirectional", "match", "budget", "learning_rate",
)  # fmt: skip
"""Settings that not all journals have."""


@dataclass(frozen=True)
class Job:
    """One cell on one level with one group of settings.

    What is measured is the job at the level's own learning rate, once for all rates: see `costed`.

    Attributes:
        spec: The cell and its options, or a baseline.
        task: The level.
        settings: Width, steps, device, dtype.
    """

    spec: Spec
    task: Task
    settings: Settings

    @cached_property
    def key(self) -> str:
        """Digest of all that decides a result, but for the seed.

        A setting that came later counts where it is used: older journals keep their places.
        """
        settings = msgspec.to_builtins(self.settings)
        usual = msgspec.to_builtins(Settings(hidden=1, steps=1, device=""))
        for name in LATER_SETTINGS:
            if settings[name] == usual[name]:
                del settings[name]
        return digest(self.spec.text, self.spec.source_digest, self.task.digest, settings)

    @cached_property
    def costed(self) -> Job:
        """The job that is measured in its place: what it costs does not depend on the rate."""
        if not self.settings.learning_rate:
            return self
        return Job(self.spec, self.task, replace(self.settings, learning_rate=0.0))

    @property
    def is_baseline(self) -> bool:
        """Whether there is no cell in it, and so nothing to measure."""
        return isinstance(self.spec, BaselineSpec)

    @property
    def network(self) -> Network:
        """How cells are put together."""
        given = self.settings
        return Network(given.depth, given.block, given.dropout, given.bidirectional)

    def build(self, input_size: int, hidden_size: int) -> Cell:
        """Return what is trained: a cell, or a network of cells as one."""
        return self.network.build(self.spec.build, input_size, hidden_size)

    @property
    def carrier(self) -> Carrier:
        """How the cell is carried through time."""
        return Carrier(Way(self.settings.unroll), self.settings.checkpoint)

    @property
    def level(self) -> Level:
        """The level, as it goes into records."""
        task = self.task
        return Level(
            id=task.id,
            version=task.version,
            digest=task.digest,
            metric=task.metric,
            trivial=task.trivial,
            perfect=task.perfect,
            solved=task.solved,
            batch=task.budget.batch,
        )


@dataclass(frozen=True)
class Unit:
    """What to train: a job and a seed."""

    job: Job
    seed: int
    time_limit_s: float | None = None

    @cached_property
    def unit_id(self) -> str:
        """Digest of cell, its source, level, seed and settings; not of the time limit."""
        return digest(self.job.key, self.seed)


@dataclass(frozen=True, slots=True)
class Stack:
    """Units that one worker trains together.

    How units are stacked decides no result, but for rounding: it is in no digest.

    Attributes:
        units: One or more; of one job, each with a seed of its own.
        fallback: Why they are not in a bigger stack, as was tried before; "" if it was not.
    """

    units: tuple[Unit, ...]
    fallback: str = ""

    @property
    def job(self) -> Job:
        """The job that all of them are of."""
        return self.units[0].job

    @property
    def time_limit_s(self) -> float | None:
        """Most seconds of training of all of them together; None for no limit."""
        limits_s = [unit.time_limit_s for unit in self.units]
        return None if None in limits_s else sum(filter(None, limits_s))


@dataclass(frozen=True, slots=True)
class Plan:
    """All units and all measurements of one run.

    Attributes:
        units: Seed by seed, and of a seed learning rate by learning rate, so that a run cut short
            has something of every cell.
        jobs: To be measured, in the order of the names given: those with a cell, at the level's
            own rate.
        baselines: Those without.
    """

    units: tuple[Unit, ...]
    jobs: tuple[Job, ...]
    baselines: tuple[Job, ...] = ()

    @property
    def trained(self) -> tuple[Job, ...]:
        """What the units are of, each once: with a grid, a job for each of its rates."""
        found = {unit.job.key: unit.job for unit in self.units}
        order = {job.key: place for place, job in enumerate((*self.jobs, *self.baselines))}
        return tuple(sorted(found.values(), key=lambda job: order[job.costed.key]))


def make_plan(
    cells: Sequence[Spec],
    tasks: Sequence[Task],
    seeds: Sequence[int],
    *,
    hidden: int,
    device: str,
    carrier: Carrier = Carrier(),  # noqa: B008 -- only its settings are read
    network: Network = Network(),  # noqa: B008 -- frozen
    match: str = "",
    most_steps: int | None = None,
    time_limit_s: float | None = None,
    learning_rates: Sequence[float] = (),
) -> Plan:
    """Cross cells, levels, learning rates and seeds.

    Args:
        hidden: Features of each cell's output; with `match`, of lstm's, whose budget all get.
        device: Kind of device.
        carrier: How cells are carried through time.
        network: How cells are put together.
        match: What cells get alike, see `Settings`.
        most_steps: Cap on the training steps of each level's budget.
        time_limit_s: Most seconds of training a unit.
        learning_rates: A grid, for every cell; without it, each level's own. Baselines, which
            take no step, are in the plan once.
    """
    if network.bidirectional:
        for task in tasks:
            check_asks_at_the_end(task)

    def settings(task: Task, spec: Spec) -> Settings:
        found = Settings(
            hidden=hidden,
            steps=min(task.budget.steps, most_steps or task.budget.steps),
            device=device,
            unroll=carrier.way.value,
            checkpoint=carrier.checkpoint,
            depth=network.depth,
            block=network.block,
            dropout=network.dropout,
            bidirectional=network.bidirectional,
        )
        if not match or isinstance(spec, BaselineSpec):
            return found
        width, budget = matched(match, network, spec, task, hidden)
        return replace(found, hidden=width, match=match, budget=budget)

    jobs = tuple(Job(spec, task, settings(task, spec)) for task, spec in product(tasks, cells))
    trained = _at_each_rate(jobs, learning_rates)
    units = tuple(Unit(job, seed, time_limit_s) for seed, job in product(seeds, trained))
    return Plan(
        units,
        tuple(job for job in jobs if not job.is_baseline),
        tuple(job for job in jobs if job.is_baseline),
    )


def _at_each_rate(jobs: Sequence[Job], rates: Sequence[float]) -> list[Job]:
    """Return all jobs at the first rate, then at the next; a baseline once, as it is."""
    if not rates:
        return list(jobs)
    baselines = [job for job in jobs if job.is_baseline]
    return baselines + [
        Job(job.spec, job.task, replace(job.settings, learning_rate=rate))
        for rate, job in product(rates, jobs)
        if not job.is_baseline
    ]


def check_asks_at_the_end(task: Task) -> None:
    """Raise OptionError unless a level asks at its last step alone: else one could look ahead."""
    question = draw(task.generator, Stream(0, "train"), torch.arange(task.budget.batch))
    if question.start != len(question.inputs) - 1:
        raise OptionError(
            f"--bidirectional reads a sequence from its end as well, and {task.id} asks before "
            "its last step: name levels that ask at the end only, such as those of adding."
        )


def missing_units(plan: Plan, lines: Iterable[AnyLine]) -> list[Unit]:
    """Return the units that `lines` have no trial of.

    A failure is a result. But a trial that ran out of a smaller time limit than today's is
    missing again.
    """
    done = {trial.unit_id: trial for trial in trials(lines)}

    def is_missing(unit: Unit) -> bool:
        trial = done.get(unit.unit_id)
        if trial is None:
            return True
        if trial.status is not Status.TIMEOUT or trial.time_limit_s is None:
            return False
        return unit.time_limit_s is None or unit.time_limit_s > trial.time_limit_s

    return [unit for unit in plan.units if is_missing(unit)]


def measurement_id(job: Job, env: str) -> str:
    """Digest of cell, its source, level, settings but for the rate, and environment."""
    return digest(job.costed.key, env)


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a plan still asks for.

    Attributes:
        units: Without a trial.
        measured: Ids of the measurements that there are; which are missing depends on the
            environment, and is found out when measuring starts.
    """

    units: tuple[Unit, ...]
    measured: frozenset[str]


def remaining(plan: Plan, lines: Sequence[AnyLine], *, fresh: bool) -> Remaining:
    """Compare `plan` with what a journal has; with `fresh`, as if it had nothing."""
    if fresh:
        return Remaining(plan.units, frozenset())
    measured = frozenset(getattr(line, "measurement_id", "") for line in lines)
    return Remaining(tuple(missing_units(plan, lines)), measured)
