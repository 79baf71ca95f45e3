"""Batches of one split, in order.

A sequence is the same numbers however many are drawn beside it, so batches of several steps are
drawn at once and handed out one by one: the cost of a draw is mostly its count of small tensor
operations, not their size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from cellbench.generators.base import Batch, Generator
from cellbench.generators.stream import Stream

BLOCK_ELEMENTS = 1 << 18
"""About how many input numbers to draw at once."""

MOST_STEPS = 64


@dataclass(frozen=True, slots=True)
class Question:
    """A batch, cut to what a model needs.

    Attributes:
        inputs: All of them.
        start: The first step that is scored or trained on, in any sequence.
        targets: From `start` on.
        scored: From `start` on: where the metric looks.
        trained: From `start` on: where the loss looks.
    """

    inputs: Tensor
    start: int
    targets: Tensor
    scored: Bool[Tensor, "answered batch"]
    trained: Bool[Tensor, "answered batch"]


def draw(generator: Generator, stream: Stream, index: Tensor) -> Question:
    """Return the sequences numbered `index`."""
    return _cut(generator.sample(stream, index))


def training_batches(
    generator: Generator, seed: int, batch: int, device: torch.device
) -> Iterator[Question]:
    """Yield step after step without end: step n is sequences `n * batch … (n + 1) * batch - 1`."""
    stream = Stream(seed, "train")
    first, steps = 0, 1
    while True:
        index = torch.arange(first * batch, (first + steps) * batch, device=device)
        block = draw(generator, stream, index)
        for step in range(steps):
            yield _columns(block, slice(step * batch, (step + 1) * batch))
        first += steps
        steps = min(max(1, BLOCK_ELEMENTS * steps // block.inputs.numel()), MOST_STEPS)


def split_batches(
    generator: Generator, stream: Stream, count: int, batch: int, device: torch.device
) -> Iterator[Question]:
    """Yield the first `count` sequences of a split, at most `batch` at a time."""
    for first in range(0, count, batch):
        yield draw(generator, stream, torch.arange(first, min(first + batch, count), device=device))


def _cut(batch: Batch) -> Question:
    asked = (batch.scored | batch.trained).any(dim=1)
    start = int(asked.int().argmax())  # a read from the device, once a block
    return Question(
        batch.inputs, start, batch.targets[start:], batch.scored[start:], batch.trained[start:]
    )


def _columns(block: Question, columns: slice) -> Question:
    return Question(
        block.inputs[:, columns].contiguous(),
        block.start,
        block.targets[:, columns],
        block.scored[:, columns],
        block.trained[:, columns],
    )
