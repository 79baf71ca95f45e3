"""Training one model."""

from __future__ import annotations

from collections.abc import Callable

from cellbench.catalog import Task
from cellbench.record import Point
from cellbench.train.captured import Recorder, fastest, recorder
from cellbench.train.course import Course
from cellbench.train.crew import PlainCrew
from cellbench.train.evaluation import evaluate
from cellbench.train.learned import Learned
from cellbench.train.model import SequenceModel
from cellbench.train.trainer import Trainer
from cellbench.train.watch import Clock

__all__ = ["Clock", "Learned", "Look", "Trainer", "evaluate", "train"]

Look = Callable[[Point], None]
"""Told of every look at validation, for a progress display."""


def train(
    model: SequenceModel,
    task: Task,
    *,
    seed: int,
    steps: int,
    clock: Clock,
    time_limit_s: float | None = None,
    learning_rate: float = 0.0,
    look: Look = lambda _: None,
    recorder: Recorder = recorder,
) -> Learned:
    """Train `model` on a level until it is solved, out of steps, out of time, or diverged.

    Three streams that share no sequence are drawn from `seed`: it trains on the first, looks at
    the second every `validate_every` steps and after the last, and reads the third once.

    Args:
        model: Fresh, on its device.
        task: The level.
        seed: Of the data. The caller has used it for the model's initialisation.
        steps: Most training steps.
        clock: Tests pass one that ticks by itself.
        time_limit_s: Most seconds of training; None for no limit.
        learning_rate: Of the optimiser; 0 for the level's own.
        look: Told of every look at validation.
        recorder: What records training steps, to repeat them; by default CUDA graphs, on CUDA.
    """
    clip, rate = task.budget.clip, learning_rate or task.budget.learning_rate
    trainer = Trainer(model, learning_rate=rate, clip=clip)
    plain = PlainCrew(trainer, task, seed, steps=steps, clock=clock)
    course = Course(
        fastest(plain, recorder),
        task,
        [seed],
        steps=steps,
        clock=clock,
        time_limit_s=time_limit_s,
        look=lambda _, point: look(point),
    )
    ((_, learned),) = course.run()
    return learned
