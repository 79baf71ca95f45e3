"""Whoever knows the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from cellbench.catalog import Task
from cellbench.generators.base import Answers, Bits, Sets, Tokens
from cellbench.train.baselines.base import Baseline, questions
from cellbench.train.scores import Scores, Tally

SURE = 100.0
"""A logit that leaves no doubt."""


@final
@dataclass(frozen=True, slots=True)
class Oracle(Baseline):
    """Answers by the algorithm that a task comes with, from the inputs alone: it must be perfect.

    If it is not, inputs, targets and mask do not fit together, and no cell can solve the level.
    """

    def scores(self, task: Task, seed: int, device: torch.device) -> Scores:
        counted = Tally(device)
        for question in questions(task, seed, "test", task.budget.test, device):
            found = task.generator.oracle(question.inputs)
            counted.add(_as_answers(task.generator.answers, found), question)
        (scores,) = counted.each()
        return scores


def _as_answers(space: Answers, targets: Tensor) -> Tensor:
    """Return what a model would have to answer to mean these targets."""
    if isinstance(space, Tokens):
        return one_hot(targets, space.size) * SURE
    if isinstance(space, Bits | Sets):
        return (targets - 0.5) * SURE
    return targets
