"""In which order, and by how many workers, what is missing of a plan is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from cellbench.record import AnyLine, Measurement
from cellbench.sweep.estimate import Estimates
from cellbench.sweep.plan import Job, Plan, Remaining, Stack, measurement_id
from cellbench.sweep.stacks import make_stacks


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is to be done, and how long each part should take.

    Attributes:
        stacks: To train, in the order that workers take them.
        jobs: To measure, in their order; fewer on a machine where some were measured before.
        workers: That train at a time.
        step_s: Estimated seconds of a training step of a seed, by the key of the job.
        measuring_s: Estimated seconds of measuring a job, by its key.
    """

    stacks: tuple[Stack, ...]
    jobs: tuple[Job, ...]
    workers: int
    step_s: Mapping[str, float]
    measuring_s: Mapping[str, float]


def in_order(
    stacks: Sequence[Stack], seconds: Callable[[Stack], float], begun: Collection[str] = ()
) -> list[Stack]:
    """Return `stacks` in the order to start them.

    First one stack of every job that has no trial yet, then all others; in each of the two the
    longest first, and equally long ones as they came.

    So two wishes meet. Longest first, because a long stack that starts last leaves all other
    workers idle. But a run that is cut short should have something of every cell on every level,
    since a table with a gap compares nothing: where they disagree, this wins, for the first stack
    of each job. It costs little: what comes after those is the greater part, is again longest
    first, and fills the gaps at the end.

    Args:
        stacks: To be trained.
        seconds: What each should take.
        begun: Keys of the jobs that have trials.
    """
    seen = set(begun)
    firsts: list[Stack] = []
    others: list[Stack] = []
    for stack in stacks:
        (others if stack.job.key in seen else firsts).append(stack)
        seen.add(stack.job.key)
    return [stack for part in (firsts, others) for stack in sorted(part, key=lambda s: -seconds(s))]


def make_schedule(
    plan: Plan,
    left: Remaining,
    lines: Sequence[AnyLine],
    *,
    device: str,
    workers: int,
    most: int | None = None,
) -> Schedule:
    """Return how to do what is left of `plan`.

    Args:
        plan: All that was asked for.
        left: What of it is missing.
        lines: Of the journal: earlier trials tell how long later ones take.
        device: As torch names it.
        workers: That may train at a time.
        most: Units of a stack, at most; None to choose by job.
    """
    estimates = Estimates(lines)
    workers = max(1, min(workers, len(left.units)))
    stacks = make_stacks(left.units, most=most, device=device, workers=workers)
    missing = {unit.unit_id for unit in left.units}
    begun = {unit.job.key for unit in plan.units if unit.unit_id not in missing}
    envs = {line.env for line in lines if isinstance(line, Measurement)}
    jobs = [j for j in plan.jobs if left.measured.isdisjoint(measurement_id(j, e) for e in envs)]
    return Schedule(
        stacks=tuple(in_order(stacks, estimates.training_s, begun)),
        jobs=tuple(jobs),
        workers=max(1, min(workers, len(stacks))),
        step_s={job.key: estimates.step_s(job) for job in plan.trained},
        measuring_s={job.key: estimates.measuring_s(job) for job in plan.jobs},
    )
