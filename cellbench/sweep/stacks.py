"""Which seeds are trained together.

It decides no result but for rounding, only how long a run takes; and it is a function of what is
asked for and of the number of workers, never of a clock: equal commands make equal stacks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from cellbench.cells.adapter import LayerCell
from cellbench.cells.base import ParallelCell
from cellbench.cells.torch_layer import TorchLayer
from cellbench.sweep.estimate import length_of, specimen
from cellbench.sweep.plan import Job, Stack, Unit
from cellbench.train.baselines import BaselineSpec
from cellbench.unroll import Way
from cellbench.unroll.worth import repays

USUAL_OPERATIONS = 30
"""Of a step of a cell: to guess by, before it is traced."""


def stack_size(job: Job, seeds: int, device: str, workers: int) -> int:
    """Return how many seeds of `job` are best trained together.

    A cell that one call of torch's own carries through time stays alone: a stack would lose the
    kernel. Others, on a GPU, all at once: a step of many small models costs hardly more than one
    of one. On a CPU a stack saves what each operation costs beside its arithmetic. A cell with a
    parallel form has little of that, and a compiled one none: eight seeds of `hyperlstm` one by
    one took 0.7 of the time of stacks of four. Of others, as many stacks as there are workers.

    Args:
        job: What to train.
        seeds: How many of them.
        device: As torch names it.
        workers: That train at a time.
    """
    if isinstance(job.spec, BaselineSpec):
        return 1
    on_gpu = device.startswith("cuda")
    alone = (TorchLayer, LayerCell) if on_gpu else (ParallelCell,)
    in_parallel = Way(job.settings.unroll) in {Way.AUTO, Way.PARALLEL}
    if in_parallel and isinstance(specimen(job.spec), alone):
        return 1
    if on_gpu:
        return seeds
    return 1 if _will_be_compiled(job) else math.ceil(seeds / workers)


def _will_be_compiled(job: Job) -> bool:
    """Tell whether the carrier will find, most likely, that compiling repays itself."""
    way = Way(job.settings.unroll)
    if way is Way.STEPWISE or specimen(job.spec).grows:
        return False
    steps = job.settings.steps * length_of(job.task)
    return way is Way.COMPILED or repays(USUAL_OPERATIONS, steps, "cpu")


def make_stacks(
    units: Iterable[Unit], *, most: int | None, device: str, workers: int
) -> list[Stack]:
    """Put the units of each job into stacks, no two of which differ in size by more than one.

    Args:
        units: What to train.
        most: Units of a stack, at most; None to leave it to `stack_size`.
        device: As torch names it.
        workers: That train at a time.
    """
    found: dict[str, list[Unit]] = {}
    for unit in units:
        found.setdefault(unit.job.key, []).append(unit)
    stacks = []
    for members in found.values():
        size = most or stack_size(members[0].job, len(members), device, workers)
        stacks += [Stack(part) for part in _parts(members, math.ceil(len(members) / size))]
    return stacks


def _parts(units: list[Unit], count: int) -> list[tuple[Unit, ...]]:
    """Cut `units` into `count` parts, in their order."""
    cuts = [len(units) * n // count for n in range(count + 1)]
    return [tuple(units[low:high]) for low, high in pairwise(cuts)]
