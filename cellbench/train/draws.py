"""Batches of one split, in order.

A sequence is the same numbers however many are drawn beside it, so batches of several steps are
drawn at once and handed out one by one: the cost of a draw is mostly its count of small tensor
operations, not their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.generators.base import Generator
from cellbench.generators.stream import Stream

BLOCK_ELEMENTS = 1 << 18
"""About how many input numbers to draw at once, of each seed."""

MOST_STEPS = 64

Streams = Stream | Sequence[Stream]
"""Where sequences are drawn from: one stream, or one of each seed of a stack."""


@dataclass(frozen=True, slots=True)
class Question:
    """A batch, cut to what a model needs. For a stack, its tensors are `[time, seeds, batch, ...]`.

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
    scored: Bool[Tensor, "answered *batch"]
    trained: Bool[Tensor, "answered *batch"]


def draw(generator: Generator, streams: Streams, index: Int[Tensor, "count"]) -> Question:
    """Return the sequences numbered `index`, of each stream."""
    question = draw_whole(generator, streams, index)
    return cut(question, first_asked(question))


def draw_whole(generator: Generator, streams: Streams, index: Int[Tensor, "count"]) -> Question:
    """Return the sequences numbered `index`, of each stream, from step 0 on."""
    if isinstance(streams, Stream):
        batch = generator.sample(streams, index)
        return Question(batch.inputs, 0, batch.targets, batch.scored, batch.trained)
    batches = [generator.sample(stream, index) for stream in streams]
    return Question(
        torch.stack([batch.inputs for batch in batches], dim=1),
        0,
        torch.stack([batch.targets for batch in batches], dim=1),
        torch.stack([batch.scored for batch in batches], dim=1),
        torch.stack([batch.trained for batch in batches], dim=1),
    )


def cut(whole: Question, start: int) -> Question:
    """Return what a model needs of a batch in which nothing is asked before `start`."""
    return Question(
        whole.inputs, start, whole.targets[start:], whole.scored[start:], whole.trained[start:]
    )


def first_asked(whole: Question) -> int:
    """Return the first step that is scored or trained on, in any sequence."""
    asked = (whole.scored | whole.trained).flatten(1).any(dim=1)
    return int(asked.int().argmax())  # a read from the device, once a block


def block_steps(numbers_a_step: int) -> int:
    """Return how many steps of training to draw at once.

    Args:
        numbers_a_step: In the inputs of one step, of one seed.
    """
    return min(max(1, BLOCK_ELEMENTS // numbers_a_step), MOST_STEPS)


class TrainingBatches(Iterator[Question]):
    """Step after step without end: step n is sequences `n * batch … (n + 1) * batch - 1`.

    Args:
        generator: What draws them.
        streams: One, or one of each seed of a stack.
        batch: Sequences a step, of each stream.
        device: Where to draw them.
        first: The step to begin with.
    """

    def __init__(
        self,
        generator: Generator,
        streams: Streams,
        batch: int,
        device: torch.device,
        first: int = 0,
    ) -> None:
        self._generator = generator
        self._streams = streams
        self._batch = batch
        self._device = device
        self._block: Question | None = None
        self._first = self._drawn = self._handed_out = first  # steps

    def __next__(self) -> Question:
        question = self.peek()
        self._handed_out += 1
        return question

    def peek(self) -> Question:
        """Return the batch that is next."""
        if self._block is None or self._handed_out == self._drawn:
            self._block = self._draw()
        at = (self._handed_out - self._first) * self._batch
        return _columns(self._block, at, self._batch)

    def keep(self, rows: Int[Tensor, "rows"]) -> None:
        """Go on with the seeds in these places of a stack alone."""
        assert not isinstance(self._streams, Stream)  # noqa: S101 -- one stream has no places
        self._streams = [self._streams[row] for row in rows.tolist()]
        if self._block:
            self._block = _seeds(self._block, rows)

    def _draw(self) -> Question:
        """Draw the next block; the first is one step, to see how big a step is."""
        steps = self._steps()
        first, last = self._drawn * self._batch, (self._drawn + steps) * self._batch
        index = torch.arange(first, last, device=self._device)
        self._first, self._drawn = self._drawn, self._drawn + steps
        return draw(self._generator, self._streams, index)

    def _steps(self) -> int:
        if self._block is None:
            return 1
        seeds = 1 if isinstance(self._streams, Stream) else len(self._streams)
        return block_steps(self._block.inputs.numel() // ((self._drawn - self._first) * seeds))


def training_batches(
    generator: Generator, seed: int, batch: int, device: torch.device
) -> Iterator[Question]:
    """Return the training batches of one seed, without end."""
    return TrainingBatches(generator, Stream(seed, "train"), batch, device)


def split_batches(
    generator: Generator, streams: Streams, count: int, batch: int, device: torch.device
) -> Iterator[Question]:
    """Yield the first `count` sequences of a split, at most `batch` at a time."""
    for first in range(0, count, batch):
        index = torch.arange(first, min(first + batch, count), device=device)
        yield draw(generator, streams, index)


def _columns(block: Question, first: int, count: int) -> Question:
    batch = block.trained.ndim - 1
    return Question(
        block.inputs.narrow(batch, first, count).contiguous(),
        block.start,
        block.targets.narrow(batch, first, count),
        block.scored.narrow(batch, first, count),
        block.trained.narrow(batch, first, count),
    )


def _seeds(block: Question, rows: Int[Tensor, "rows"]) -> Question:
    return Question(
        block.inputs.index_select(1, rows),
        block.start,
        block.targets.index_select(1, rows),
        block.scored.index_select(1, rows),
        block.trained.index_select(1, rows),
    )
