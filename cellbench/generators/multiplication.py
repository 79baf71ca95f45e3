"""Multiplication: two marked numbers in sequences of unequal length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Vectors
from cellbench.generators.hs97 import FIRST_PAIRS, last_pair, longest, marked_pairs
from cellbench.generators.stream import Stream
from cellbench.options import whole


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Multiplication(Generator):
    """Show numbers, two of them marked, and ask for their product.

    With length=12, sequence 3 of the training stream:

        input 0  .61 .97 .97 .91 .35 .82 .12 .69 .51 .20 .34 .76 .79
        input 1   -1   1   0   0   0   1   0   0   0   0   0   0  -1
        target     -   -   -   -   -   -   -   -   -   -   -   - .79

    `input 0` is the number, uniform in [0, 1); `input 1` the mark: 1 on two pairs, else -1 on
    the first and the last, else 0. X1 is one of the first ten pairs, X2 one of the first
    length/2 - 1 of the others; a sequence has from `length` to 1.1 `length` steps, rounded
    down. If X1 is the first pair, X1 is 1.

    Whoever ignores the input does best to answer the mean. One X1 in ten is 1, so that mean
    is .9 / 4 + .1 / 2 = .275, and it errs by .9 / 9 + .1 / 3 - .275**2, .0577; without that
    rule it would be 1/9 - 1/16, .0486.

    Source: Hochreiter & Schmidhuber 1997, experiment 5.
    Differs from it: numbers are multiples of 2**-24. X2 may be the first pair, and keeps its
    value then: the source does not say. After the end, numbers and marks are 0. The target
    is asked for at the end only, where its error was; nothing else is there to learn.

    Attributes:
        length: Steps of the shortest sequence; 11 at least, so that no mark falls on the last.
    """

    length: int

    def __post_init__(self) -> None:
        whole("length", self.length, low=FIRST_PAIRS + 1)

    @property
    def reads(self) -> Reads:
        return Vectors(2)

    @property
    def answers(self) -> Answers:
        return Vectors(1)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        numbers = stream.uniform("numbers", index, longest(self.length))
        pairs = marked_pairs(stream, index, numbers, length=self.length, neutral=1.0)
        answer = pairs.marked[0] * pairs.marked[1]
        targets = (pairs.last * answer).unsqueeze(2)
        return Batch(pairs.inputs, targets, pairs.last, pairs.last)

    def trivial(self) -> float:
        ones = 1 / FIRST_PAIRS
        mean = (1 - ones) / 4 + ones / 2
        return (1 - ones) / 9 + ones / 3 - mean**2

    def oracle(self, inputs: Float[Tensor, "time batch 2"]) -> Float[Tensor, "time batch 1"]:
        """Multiply what is marked 1; exact, since all but two factors are 1."""
        numbers, marks = inputs.unbind(dim=2)
        product = torch.where(marks > 0, numbers, 1.0).prod(dim=0)
        return (last_pair(marks) * product).unsqueeze(2)

    def at_length(self, length: int) -> Multiplication:
        return replace(self, length=length)
