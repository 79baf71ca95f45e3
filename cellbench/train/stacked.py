"""Training the models of several seeds at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cellbench.catalog import Task
from cellbench.train.captured import Recorder, fastest, recorder
from cellbench.train.course import Course, SeedLook
from cellbench.train.learned import Learned
from cellbench.train.model import SequenceModel
from cellbench.train.stacked_crew import StackedCrew
from cellbench.train.stacked_model import StackedModel
from cellbench.train.stacked_trainer import StackedTrainer
from cellbench.train.stacking import StackingError
from cellbench.train.watch import Clock

__all__ = ["StackingError", "train_stack"]


def train_stack(
    models: Sequence[SequenceModel],
    task: Task,
    *,
    seeds: Sequence[int],
    steps: int,
    clock: Clock,
    time_limit_s: float | None = None,
    learning_rate: float = 0.0,
    look: SeedLook = lambda _, __: None,
    recorder: Recorder = recorder,
) -> Iterator[tuple[int, Learned]]:
    """Train the models of several seeds at once, each as `train` would train it alone.

    Each has its own initial values, data, clipping, optimiser state, looks and end. What it
    learns does not depend on which others it is stacked with, beyond rounding; except for a
    cell that draws random numbers while it trains: those are others in another stack.

    Args:
        models: Fresh ones of one job, on their device. Each has learned when its seed is yielded.
        task: The level.
        seeds: Of the data, one for each model.
        steps: Most training steps.
        clock: Tests pass one that ticks by itself.
        time_limit_s: Most seconds of training that fall to a seed; None for no limit. Of n seeds
            still on their way, 1/n of the time falls to each.
        learning_rate: Of the optimiser; 0 for the level's own.
        look: Told of every look at validation, and of which seed it was.
        recorder: What records training steps, to repeat them; by default CUDA graphs, on CUDA.

    Yields:
        Each seed as it ends, and what came of it.

    Raises:
        StackingError: The cell cannot be stacked; raised before any training.
    """
    stack = StackedModel(models)
    clip, rate = task.budget.clip, learning_rate or task.budget.learning_rate
    trainer = StackedTrainer(stack, learning_rate=rate, clip=clip)
    plain = StackedCrew(trainer, task, seeds, models, steps=steps, clock=clock)
    course = Course(
        fastest(plain, recorder),
        task,
        seeds,
        steps=steps,
        clock=clock,
        time_limit_s=time_limit_s,
        look=look,
    )
    return course.run()
