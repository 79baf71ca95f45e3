"""What a cell learns on one side: the first losses of each seed, and where training ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from cellbench.catalog import Task, find_task
from cellbench.generators.stream import Stream
from cellbench.plugins import parse_cell
from cellbench.record import Settings, Status, Trial
from cellbench.sweep.plan import Job, Stack, Unit
from cellbench.sweep.worker import build, run_stack
from cellbench.train.draws import draw
from cellbench.train.trainer import Trainer


def first_losses(
    cell: str,
    level: str,
    seeds: Sequence[int],
    device: torch.device,
    *,
    hidden: int,
    steps: int,
) -> dict[str, Any]:
    """Return the loss at each of the first training steps, by seed.

    Equal code gives equal bits: where they are equal on both sides there is nothing to judge.
    """
    job = _job(cell, find_task(level), device, hidden)
    return {"losses": {str(seed): _losses(job, seed, device, steps) for seed in seeds}}


def _losses(job: Job, seed: int, device: torch.device, steps: int) -> list[float]:
    budget = job.task.budget
    model = build(job, seed, device)
    trainer = Trainer(model, learning_rate=budget.learning_rate, clip=budget.clip)
    stream = Stream(seed, "train")
    found = []
    for step in range(steps):
        index = torch.arange(budget.batch, device=device) + step * budget.batch
        question = draw(job.task.generator, stream, index)
        found.append(float(trainer.step(question)))
    return [loss if math.isfinite(loss) else -1.0 for loss in found]  # JSON has no NaN


def learned(
    cell: str, level: str, seeds: Sequence[int], device: torch.device, *, hidden: int
) -> dict[str, Any]:
    """Train every seed to its end; return skills, which seeds solved, and what failed.

    What fails has learned nothing: skill 0, not solved.
    """
    job = _job(cell, find_task(level), device, hidden)
    units = tuple(Unit(job, seed) for seed in seeds)
    trials: dict[int, Trial] = {}

    def keep(trial: Trial) -> None:
        trials[trial.seed] = trial

    try:
        run_stack(Stack(units), device, look=lambda _, __: None, keep=keep)
    except Exception:  # noqa: BLE001 -- no verdict on any of them: one by one
        for unit in units:
            if unit.seed not in trials:
                run_stack(Stack((unit,)), device, look=lambda _, __: None, keep=keep)
    return {
        "skills": {str(seed): trial.skill or 0.0 for seed, trial in sorted(trials.items())},
        "solved": {str(s): t.steps_to_solve is not None for s, t in sorted(trials.items())},
        "failed": [t.status.value for t in trials.values() if t.status is not Status.OK],
    }


def _job(cell: str, task: Task, device: torch.device, hidden: int) -> Job:
    settings = Settings(hidden=hidden, steps=task.budget.steps, device=device.type, unroll="auto")
    return Job(parse_cell(cell), task, settings)
