"""What a baseline is."""

from __future__ import annotations

import abc
from collections.abc import Iterator

import torch

from cellbench.catalog import Task
from cellbench.generators.stream import Stream
from cellbench.train.draws import Question, draw_whole
from cellbench.train.scores import Scores

MOST_STEPS = 1 << 18
"""Steps of the sequences that are drawn at once."""


class Baseline(abc.ABC):
    """Stands in a table beside cells, and is trained on nothing.

    Concrete ones are frozen dataclasses; their fields, which have defaults, are their options.
    """

    @abc.abstractmethod
    def scores(self, task: Task, seed: int, device: torch.device) -> Scores:
        """Return what it comes to on the test split of `task` under `seed`."""


def questions(
    task: Task, seed: int, split: str, count: int, device: torch.device
) -> Iterator[Question]:
    """Yield the first `count` sequences of a split, whole, as many at once as are well held."""
    stream = Stream(seed, split)
    length = len(task.generator.sample(stream, torch.arange(1)).inputs)
    size = max(1, MOST_STEPS // length)
    for first in range(0, count, size):
        index = torch.arange(first, min(first + size, count), device=device)
        yield draw_whole(task.generator, stream, index)
