"""What several tasks of Hochreiter & Schmidhuber 1997 have in common."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream

FIRST_PAIRS = 10
"""The first mark is on one of so many pairs."""


class MarkedPairs(NamedTuple):
    """Pairs of a number and a mark, in sequences that end at different steps.

    Attributes:
        inputs: The pairs.
        marked: The two numbers that are marked.
        last: Whether a step is the last one.
    """

    inputs: Float[Tensor, "time batch 2"]
    marked: Float[Tensor, "2 batch"]
    last: Bool[Tensor, "time batch"]


def longest(length: int) -> int:
    """Return how long a sequence is at most, if it has `length` steps at least."""
    return length + length // 10


def last_steps(stream: Stream, index: Int[Tensor, "batch"], length: int) -> Int[Tensor, "batch"]:
    """Draw where sequences end: all from `length` to `longest` steps are equally likely."""
    return length - 1 + stream.integers("length", index, 1, below=longest(length) - length + 1)[0]


def marked_pairs(
    stream: Stream,
    index: Int[Tensor, "batch"],
    numbers: Float[Tensor, "time batch"],
    *,
    length: int,
    neutral: float,
) -> MarkedPairs:
    """Mark two of the numbers; where the first mark is on the first pair, that is `neutral`.

    The first and the last pair have the mark -1, unless they have one of the two.
    """
    first, second = stream.integers("marks", index, 2, below=(FIRST_PAIRS, length // 2 - 1))
    second = second + (second >= first)  # steps over the first mark
    places = torch.stack([first, second])
    end = last_steps(stream, index, length).unsqueeze(0)
    numbers = numbers.masked_fill(steps(len(numbers), numbers) > end, 0.0)
    numbers[0] = torch.where(first == 0, neutral, numbers[0])
    marks = torch.zeros_like(numbers).scatter_(0, end, -1.0)
    marks[0] = -1.0
    marks.scatter_(0, places, 1.0)
    inputs = torch.stack([numbers, marks], dim=2)
    return MarkedPairs(inputs, numbers.gather(0, places), steps(len(numbers), numbers) == end)


def last_pair(marks: Float[Tensor, "time batch"]) -> Bool[Tensor, "time batch"]:
    """Tell which step is the last that has the mark -1."""
    return (marks < 0) & ((marks < 0).flip(0).cumsum(0).flip(0) == 1)
