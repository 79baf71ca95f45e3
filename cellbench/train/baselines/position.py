"""The best that can be learned without seeing an input, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from cellbench.catalog import Task
from cellbench.generators.stream import Stream
from cellbench.options import whole
from cellbench.train.baselines.base import Baseline
from cellbench.train.baselines.position_only import position_only
from cellbench.train.scores import Scores

MOST_STEPS = 1 << 23
"""Of all training sequences that it is fitted on; long sequences are fewer, down to 1024."""


@final
@dataclass(frozen=True, slots=True)
class Position(Baseline):
    """At every place the answer that was right most often there, in training sequences.

    It knows the number of the step, and at which step its sequence was first asked. Where it
    scores better than `trivial` says, the closed form is wrong.

    Attributes:
        sequences: Of the training split, to fit on.
    """

    sequences: int = 16384

    def __post_init__(self) -> None:
        whole("sequences", self.sequences, low=1)

    def scores(self, task: Task, seed: int, device: torch.device) -> Scores:
        del device  # it sorts and counts: what it costs is no matter
        length = len(task.generator.sample(Stream(seed, "train"), torch.arange(1)).inputs)
        fitted_on = min(self.sequences, max(MOST_STEPS // length, 1024))
        tested_on = task.budget.test
        metric = position_only(task.generator, seed, fitted_on=fitted_on, tested_on=tested_on)
        return Scores(metric, None, metric if task.metric == "exact" else None)
