"""The closed form of what can be scored without seeing an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from cellbench.catalog import Task
from cellbench.train.baselines.base import Baseline
from cellbench.train.scores import Scores


@final
@dataclass(frozen=True, slots=True)
class Trivial(Baseline):
    """The metric of whoever knows only where it is asked, as the generator works it out.

    It is the zero of skill; `position` measures the same.
    """

    def scores(self, task: Task, seed: int, device: torch.device) -> Scores:
        del seed, device
        return Scores(task.trivial, None, None)
