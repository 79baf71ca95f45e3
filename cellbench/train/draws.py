"""Batches of one split, in order.

A sequence is the same numbers however many are drawn beside it, so batches of several steps are
drawn at once and handed out one by one: the cost of a draw is mostly its count of small tensor
operations, not their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator
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
        optimum: From `start` on, where targets are drawn with known odds: see `Batch`.
        space: What the targets are made of.
        metric: How answers are scored.
    """

    inputs: Tensor
    start: int
    targets: Tensor
    scored: Bool[Tensor, "answered *batch"]
    trained: Bool[Tensor, "answered *batch"]
    optimum: Float[Tensor, "answered *batch"] | None
    space: Answers
    metric: str

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors: the inputs first, then those from `start` on."""
        there = (self.inputs, self.targets, self.scored, self.trained, self.optimum)
        return [tensor for tensor in there if tensor is not None]

    def having(self, tensors: Sequence[Tensor], *, start: int | None = None) -> Question:
        """Return the same question with other tensors, in the order of `tensors`."""
        inputs, targets, scored, trained, *optimum = tensors
        return replace(
            self,
            inputs=inputs,
            start=self.start if start is None else start,
            targets=targets,
            scored=scored,
            trained=trained,
            optimum=optimum[0] if optimum else None,
        )

    def made_by(self, change: Callable[[Tensor], Tensor]) -> Question:
        """Return what becomes of it if each tensor is changed alike."""
        return self.having([change(tensor) for tensor in self.tensors])


def draw(generator: Generator, streams: Streams, index: Int[Tensor, "count"]) -> Question:
    """Return the sequences numbered `index`, of each stream."""
    question = draw_whole(generator, streams, index)
    return cut(question, first_asked(question))


def draw_whole(generator: Generator, streams: Streams, index: Int[Tensor, "count"]) -> Question:
    """Return the sequences numbered `index`, of each stream, from step 0 on."""
    if isinstance(streams, Stream):
        return whole(generator, generator.sample(streams, index))
    questions = [whole(generator, generator.sample(stream, index)) for stream in streams]
    columns = zip(*(question.tensors for question in questions), strict=True)
    return questions[0].having([torch.stack(column, dim=1) for column in columns])


def whole(generator: Generator, batch: Batch) -> Question:
    """Return the question that a batch of `generator` is."""
    return Question(
        batch.inputs,
        0,
        batch.targets,
        batch.scored,
        batch.trained,
        batch.optimum,
        generator.answers,
        generator.metric,
    )


def cut(question: Question, start: int) -> Question:
    """Return what a model needs of a batch in which nothing is asked before `start`."""
    inputs, *asked = question.tensors
    return question.having([inputs, *(tensor[start:] for tensor in asked)], start=start)


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
    found = block.made_by(lambda tensor: tensor.narrow(batch, first, count))
    return replace(found, inputs=found.inputs.contiguous())


def _seeds(block: Question, rows: Int[Tensor, "rows"]) -> Question:
    return block.made_by(lambda tensor: tensor.index_select(1, rows))
