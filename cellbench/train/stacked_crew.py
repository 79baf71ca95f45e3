"""The models of several seeds, trained a step at a time, until each has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from cellbench.catalog import Task
from cellbench.train.crew import PlainCrew
from cellbench.train.model import SequenceModel
from cellbench.train.stacked_trainer import StackedTrainer
from cellbench.train.watch import Clock
from cellbench.unroll import Carrier, Way
from cellbench.unroll.worth import repays

TYPICAL_OPERATIONS = 40
"""Of a step of a cell, to tell whether a smaller stack is worth compiling anew."""

_T = TypeVar("_T")


class StackedCrew(PlainCrew):
    """A stack that gets smaller as its seeds end.

    Args:
        trainer: Of the stack.
        task: The level.
        seeds: Of the data, one for each model.
        models: What the stack was made of; each is given what it has learned when it ends.
        steps: Most training steps.
        clock: For the seconds of compiling.
    """

    def __init__(
        self,
        trainer: StackedTrainer,
        task: Task,
        seeds: Sequence[int],
        models: Sequence[SequenceModel],
        *,
        steps: int,
        clock: Clock,
    ) -> None:
        super().__init__(trainer, task, seeds, steps=steps, clock=clock)
        self.note(trainer.stack.fallback)
        self._stacked = trainer
        self._seeds = list(seeds)
        self._models = list(models)
        self._rows = list(range(len(models)))  # of the stack: those that have not ended

    def alive(self, values: list[_T]) -> list[_T]:
        return [values[row] for row in self._rows]

    def hand_out(self, rows: Sequence[int]) -> None:
        for row in rows:
            place = self._rows[row]
            self._stacked.stack.copy_to(self._models[place], place)

    def drop(self, rows: Sequence[int]) -> bool:
        """Go on without these; a stack that is dear to change keeps them until half have ended.

        Until then they are trained on, and nobody looks at them.
        """
        self._rows = [place for row, place in enumerate(self._rows) if row not in rows]
        self.over = not self._rows
        if self.over or not self._is_worth_it():
            return False
        self._compact()
        return True

    def _is_worth_it(self) -> bool:
        compiled = self.how().unrolled == "compiled"
        if not (compiled or self.dear):
            return True
        left = (self.steps - self.taken) * self.time
        repaid = not compiled or repays(TYPICAL_OPERATIONS, left, self.device.type)
        return repaid and 2 * len(self._rows) <= len(self._models)

    def _compact(self) -> None:
        """Make the stack one of those that have not ended."""
        rows = torch.tensor(self._rows, device=self.device)
        self._stacked.keep(rows)
        self.batches.keep(rows)
        self.lost = self.lost[rows]
        self._models = [self._models[row] for row in self._rows]
        self.seeds = self._seeds = [self._seeds[row] for row in self._rows]
        self._rows = list(range(len(self._rows)))
        if self.how().unrolled == "compiled":
            before = self._stacked.stack.carrier
            self._stacked.stack.carrier = Carrier(Way.COMPILED, before.checkpoint)
            self.prepare()
