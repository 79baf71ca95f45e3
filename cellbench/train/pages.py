"""Training batches at fixed places in memory, drawn by work that can be recorded.

Drawing takes a hundred small kernels, whatever it draws: as many as some steps of training. So
the batches of many steps, a page, are drawn by one graph, and the graph of a step takes the next
columns of the page. The page after is drawn while this one is used, so that what the host has to
know of it is there before it is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cellbench.generators.base import Generator
from cellbench.generators.stream import Stream
from cellbench.train.draws import Question, Streams, block_steps, cut, draw_whole, first_asked


class Pages:
    """The training batches from some step on.

    Args:
        generator: What draws them.
        streams: One, or one of each seed of a stack.
        batch: Sequences a step, of each stream.
        device: Where to draw them.
        first: The step to begin with.
        start: Before which time step nothing is asked in any sequence; None to look at the
            first page for it.

    Attributes:
        steps: Of a page.
        start: The same.
        early: Whether anything is asked before `start` on the page after, on the device.
    """

    def __init__(
        self,
        generator: Generator,
        streams: Streams,
        batch: int,
        device: torch.device,
        *,
        first: int,
        start: int | None,
    ) -> None:
        self._generator = generator
        self._streams = streams
        self._batch = batch
        index = torch.arange(first * batch, (first + 1) * batch, device=device)
        seeds = 1 if isinstance(streams, Stream) else len(streams)
        self.steps = block_steps(draw_whole(generator, streams, index).inputs.numel() // seeds)
        self._index = torch.arange(first * batch, (first + self.steps) * batch, device=device)
        self._next = _settled(draw_whole(generator, streams, self._index))
        self._page = _settled(self._next)
        self._index += len(self._index)
        self._first_columns = torch.arange(batch, device=device)
        self._columns = self._first_columns.clone()
        self.start = first_asked(self._next) if start is None else start
        self.early = torch.zeros((), dtype=torch.bool, device=device)

    def turn(self) -> None:
        """Go to the next page, and draw the one after it; to be recorded."""
        for page, following in zip(self._page.tensors, self._next.tensors, strict=True):
            page.copy_(following)
        drawn = draw_whole(self._generator, self._streams, self._index)
        for following, fresh in zip(self._next.tensors, drawn.tensors, strict=True):
            following.copy_(fresh)
        self.early.copy_((drawn.scored | drawn.trained)[: self.start].any())
        self._index += len(self._index)
        self._columns.copy_(self._first_columns)

    def take(self) -> Question:
        """Return the batch of the next step; to be recorded."""
        batch = self._page.trained.ndim - 1
        question = cut(self._page, self.start).made_by(
            lambda tensor: tensor.index_select(batch, self._columns)
        )
        self._columns += self._batch
        return question

    def state(self) -> list[Tensor]:
        """Return all that `turn` and `take` change."""
        changing = [self._index, self._columns, self.early]
        return [*self._page.tensors, *self._next.tensors, *changing]


def _settled(question: Question) -> Question:
    """Return a copy that owns all of its memory."""
    return question.made_by(lambda tensor: tensor.contiguous().clone())
