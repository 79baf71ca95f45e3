"""Adding, as first published: two marked numbers in sequences of unequal length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Vectors
from cellbench.generators.hs97 import FIRST_PAIRS, last_pair, longest, marked_pairs
from cellbench.generators.stream import Stream
from cellbench.options import whole


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AddingHS97(Generator):
    """Show numbers, two of them marked, and ask for their sum at an end nobody foresees.

    With length=12, sequence 3 of the training stream:

        input 0   .22  .94  .93  .82 -.29  .64 -.77  .37  .01 -.59 -.32  .51  .57
        input 1    -1    1    0    0    0    1    0    0    0    0    0    0   -1
        target      -    -    -    -    -    -    -    -    -    -    -    -  .89

    `input 0` is the number, uniform in [-1, 1); `input 1` the mark: 1 on two pairs, else -1
    on the first and the last, else 0. The target is .5 + (X1 + X2) / 4. X1 is one of the
    first ten pairs, X2 one of the first length/2 - 1 of the others; a sequence has from
    `length` to 1.1 `length` steps, rounded down. If X1 is the first pair, X1 is 0.

    Whoever ignores the input does best to answer .5. One X1 in ten is 0, so it errs by
    (.9 / 3 + 1 / 3) / 16 = 19/480, .0396; without that rule it would be 1/24, .0417.

    Source: Hochreiter & Schmidhuber 1997, experiment 4.
    Differs from it: numbers are multiples of 2**-23. X2 may be the first pair, and keeps
    its value then: the source does not say. After the end, numbers and marks are 0. The
    target is asked for at the end only, where its error was; nothing else is there to learn.

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
        numbers = stream.uniform("numbers", index, longest(self.length)).mul_(2).sub_(1)
        pairs = marked_pairs(stream, index, numbers, length=self.length, neutral=0.0)
        answer = 0.5 + pairs.marked.sum(0) / 4
        targets = (pairs.last * answer).unsqueeze(2)
        return Batch(pairs.inputs, targets, pairs.last, pairs.last)

    def trivial(self) -> float:
        first, second = (1 - 1 / FIRST_PAIRS) / 3, 1 / 3
        return (first + second) / 16

    def oracle(self, inputs: Float[Tensor, "time batch 2"]) -> Float[Tensor, "time batch 1"]:
        """Add what is marked 1; exact, since all but two terms are zero."""
        numbers, marks = inputs.unbind(dim=2)
        total = (numbers * (marks > 0)).sum(dim=0)
        return (last_pair(marks) * (0.5 + total / 4)).unsqueeze(2)

    def at_length(self, length: int) -> AddingHS97:
        return replace(self, length=length)
