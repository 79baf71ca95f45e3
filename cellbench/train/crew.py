"""Models that are trained at once, a step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch

from cellbench.catalog import Task
from cellbench.record import Rung, Unrolled
from cellbench.train.course import Crew, Glance, Seen
from cellbench.train.draws import TrainingBatches, split_batches
from cellbench.train.evaluation import Seeds, climb, evaluate, streams
from cellbench.train.learned import How
from cellbench.train.scores import Scores
from cellbench.train.trainer import Trainer
from cellbench.train.watch import Clock

CENSUS_BATCHES = 4
"""Training batches by which a cell that asks for it is told what its inputs are like."""

_T = TypeVar("_T")


class PlainCrew(Crew, Glance):
    """A model, or a stack, whose training waits while it is looked at.

    Args:
        trainer: Of the model or the stack.
        task: The level.
        seeds: Of the data.
        steps: Most training steps.
        clock: For the seconds of compiling.

    Attributes:
        taken: Steps that were taken.
        lost: Sum of the losses since the last look, of each model.
        over: Whether all models have ended.
        dear: Whether it costs more than copying to change what is trained at once.
    """

    def __init__(
        self, trainer: Trainer, task: Task, seeds: Seeds, *, steps: int, clock: Clock
    ) -> None:
        self.trainer = trainer
        self.task = task
        self.seeds = seeds
        self.steps = steps
        self.clock = clock
        self.device = next(trainer.model.parameters()).device
        shape = () if isinstance(seeds, int) else (len(seeds),)
        self.lost = torch.zeros(shape, dtype=torch.float64, device=self.device)
        self.taken = 0
        self.over = self.dear = False
        self._looked_at = 0
        self._how = How(stacked=1 if isinstance(seeds, int) else len(seeds))
        trainer.model.train()
        self.begin()
        self.prepare()

    def prepare(self) -> None:
        """Settle how the cell is carried from here on."""
        model = self.trainer.model
        x = model.embedding(self.batches.peek().inputs).detach()
        self.time = len(x)
        calls = self.steps - self.taken
        carried = model.carrier.prepare(model.cell, x, calls=calls, clock=self.clock)
        self.went(
            unrolled=cast("Unrolled", carried.way.value),
            parity_error=carried.parity_error,
            compile_s=self._how.compile_s + carried.compile_s,
        )
        self.note(carried.fallback)

    def how(self) -> How:
        return self._how

    def went(self, **changes: Any) -> None:
        """Write down in what way training goes on: fields of How."""
        self._how = replace(self._how, **changes)

    def note(self, reason: str) -> None:
        """Write down why something is not done in the fastest way; "" for nothing."""
        if reason:
            so_far = self._how.fallback
            self.went(fallback=f"{so_far}; {reason}" if so_far else reason)

    def begin(self) -> None:
        """Draw from where training has come to."""
        generator, batch = self.task.generator, self.task.budget.batch
        drawn_from = streams(self.seeds, "train")
        self.batches = TrainingBatches(generator, drawn_from, batch, self.device, first=self.taken)

    def step(self) -> None:
        self.lost += self.trainer.step(next(self.batches))
        self.taken += 1

    def look(self) -> Glance:
        return self

    def ready(self) -> bool:
        return True

    def read(self) -> list[Seen]:
        lost = self.lost.reshape(-1).tolist()
        self.lost.zero_()
        self.take_census()
        scores = self.scores("validation", self.task.budget.validation)
        return self.seen(self.steps_since_look(), lost, scores)

    @torch.no_grad()
    def take_census(self) -> None:
        """Let a cell that needs it know its inputs as a whole, before it is evaluated.

        The first batches of the training split: so a look draws nothing from training.
        """
        model, budget = self.trainer.model, self.task.budget
        if not model.cell.has_population:
            return
        questions = split_batches(
            self.task.generator,
            streams(self.seeds, "train"),
            CENSUS_BATCHES * budget.batch,
            budget.batch,
            self.device,
        )
        found = [model.cell.population(model.embedding(q.inputs)) for q in questions]
        buffers = dict(model.cell.named_buffers())
        for name in found[0]:
            buffers[name].copy_(torch.stack([one[name] for one in found]).mean(0))

    def steps_since_look(self) -> int:
        """Return how many steps were taken since this was asked before."""
        steps, self._looked_at = self.taken - self._looked_at, self.taken
        return steps

    def seen(self, steps: int, lost: Sequence[float], scores: Sequence[Scores]) -> list[Seen]:
        """Return what a look has found.

        Args:
            steps: Since the look before.
            lost: Sum of their losses, of each model.
            scores: On the validation split.
        """
        pairs = zip(lost, scores, strict=True)
        return self.alive([Seen(one / steps, of_one) for one, of_one in pairs])

    def test(self) -> list[Scores]:
        return self.alive(self.scores("test", self.task.budget.test))

    def climb(self) -> list[tuple[Rung, ...]]:
        return self.alive(climb(self.trainer.model, self.task, self.seeds))

    def scores(self, split: str, count: int) -> list[Scores]:
        """Score each model on the first `count` sequences of a split."""
        return evaluate(self.trainer.model, self.task, self.seeds, split, count)

    def leave(self, rows: Sequence[int]) -> None:
        self.hand_out(rows)
        self.drop(rows)

    def alive(self, values: list[_T]) -> list[_T]:
        """Return those of `values`, one for each model, whose models have not ended."""
        return values

    def hand_out(self, rows: Sequence[int]) -> None:
        """Let the models in these places have what they have learned."""

    def drop(self, rows: Sequence[int]) -> bool:
        """Go on without the models in these places.

        Returns:
            Whether there are still models, and they are now elsewhere in memory.
        """
        self.over = bool(rows)
        return False
