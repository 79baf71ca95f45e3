"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cellbench.catalog import Task
from cellbench.generators.stream import Stream
from cellbench.record import Point, Status
from cellbench.train.draws import Question, split_batches, training_batches
from cellbench.train.model import SequenceModel
from cellbench.train.scores import Scores, Tally, loss

Clock = Callable[[], float]
"""Seconds since some fixed moment."""

Look = Callable[[Point], None]
"""Told of every look at validation, for a progress display."""


@dataclass(slots=True)
class Learned:
    """What training came to.

    Attributes:
        status: OK whether or not the level was solved; DIVERGED; TIMEOUT.
        steps_to_solve: Steps until validation reached the mark; None if it never did.
        test: On the test split, read once, at the end; None if it did not get there.
        train_s: Seconds in the loop, looks included, the test excluded.
    """

    status: Status = Status.OK
    reason: str = ""
    curve: list[Point] = field(default_factory=list)
    steps: int = 0
    steps_to_solve: int | None = None
    test: Scores | None = None
    train_s: float = 0.0

    def note(self, step: int, train_loss: float, seen: Scores, elapsed_s: float) -> None:
        """Add a look at validation; it has diverged if anything in it is not finite."""
        self.steps = step
        finite = math.isfinite(seen.loss) and math.isfinite(seen.metric)
        point = Point(
            step=step,
            train_loss=_finite(train_loss),
            metric=seen.metric if finite else None,
            elapsed_s=elapsed_s,
        )
        self.curve.append(point)
        if point.train_loss is None:
            self.reason = f"the training loss became {train_loss:g} by step {step}"
        elif not finite:
            self.reason = f"the validation loss was {seen.loss:g} at step {step}"
        if self.reason:
            self.status = Status.DIVERGED


class Trainer:
    """A model with its optimiser: what a training step is, wherever one is taken or timed.

    Args:
        model: On its device.
        learning_rate: For Adam.
        clip: Greatest norm of the gradient of all parameters together.
    """

    def __init__(self, model: SequenceModel, *, learning_rate: float, clip: float) -> None:
        self.model = model
        self._clip = clip
        self._parameters = list(model.parameters())
        self.optimiser = torch.optim.Adam(self._parameters, lr=learning_rate, fused=True)

    def step(self, question: Question) -> Tensor:
        """Learn from one batch; return its loss, on the device."""
        self.optimiser.zero_grad(set_to_none=True)
        found = loss(self.model(question.inputs, start=question.start), question)
        found.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self.optimiser.step()
        return found.detach()

    def state_tensors(self) -> list[Tensor]:
        """Return what the optimiser keeps."""
        states = self.optimiser.state.values()
        return [v for state in states for v in state.values() if isinstance(v, Tensor)]


def train(
    model: SequenceModel,
    task: Task,
    *,
    seed: int,
    steps: int,
    clock: Clock,
    time_limit_s: float | None = None,
    look: Look = lambda _: None,
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
        look: Told of every look at validation.
    """
    budget = task.budget
    device = next(model.parameters()).device
    trainer = Trainer(model, learning_rate=budget.learning_rate, clip=budget.clip)
    batches = training_batches(task.generator, seed, budget.batch, device)
    learned = Learned()
    started = clock()
    lost = torch.zeros((), device=device)
    model.train()
    for step in range(1, steps + 1):
        lost += trainer.step(next(batches))
        late = time_limit_s is not None and clock() - started > time_limit_s
        if not (late or step == steps or step % budget.validate_every == 0):
            continue
        mean = float(lost) / (step - learned.steps)
        lost.zero_()
        scores = evaluate(model, task, seed, "validation", budget.validation)
        learned.note(step, mean, scores, clock() - started)
        look(learned.curve[-1])
        if learned.status is Status.DIVERGED:
            break
        if task.is_solved(scores.metric):
            learned.steps_to_solve = step
            break
        if late:
            learned.status = Status.TIMEOUT
            learned.reason = f"{time_limit_s:g} s were over after {step} of {steps} steps"
            break
    learned.train_s = clock() - started
    if learned.status is not Status.DIVERGED:
        learned.test = evaluate(model, task, seed, "test", budget.test)
    return learned


def evaluate(model: SequenceModel, task: Task, seed: int, split: str, count: int) -> Scores:
    """Score `model` on the first `count` sequences of a split."""
    device = next(model.parameters()).device
    stream = Stream(seed, split)
    tally = Tally(device)
    model.eval()
    with torch.no_grad():
        for question in split_batches(task.generator, stream, count, task.budget.batch, device):
            tally.add(model(question.inputs, start=question.start), question)
    model.train()
    return tally.scores()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
