"""Even pairs: whether unlike neighbours among some bits are odd in number."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import (
    FIRST_SYMBOL,
    at_step,
    check_lengths,
    draw_lengths,
    fair_bits,
    length_of,
    steps,
    with_blanks,
)
from cellbench.generators.stream import Stream


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EvenPairs(Generator):
    """Show bits, and ask whether unlike neighbours among them are odd in number.

    With shortest=3, longest=8, sequence 4 of the training stream:

        input   1 0 0 1 0 1 0 . .
        target  - - - - - - - 1 -

    Token ids: 0 blank (`.`), 1 and 2 the bits 0 and 1. Class 0 is even, class 1 odd. Bits are
    fair. Every sequence draws its own length; blanks follow it, and the answer stands on the
    first. It is even if the last bit is as the first: only two tokens matter. A single bit
    has no neighbour, and is even.

    Source: Deletang et al. 2022, arXiv:2207.02098.
    Differs from it: lengths are drawn for each sequence and not for each batch.

    Attributes:
        shortest: Bits of the shortest sequence.
        longest: Bits of the longest; every length between is as likely.
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest)

    @property
    def reads(self) -> Reads:
        return Tokens(3, ".01")

    @property
    def answers(self) -> Answers:
        return Tokens(2)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        bits = fair_bits(stream, "bits", index, self.longest)
        last = bits.gather(0, (length - 1).unsqueeze(0))[0]
        scored = steps(self.longest + 1, length) == length
        inputs = with_blanks(bits, length, time=self.longest + 1)
        return Batch(inputs, at_step(last ^ bits[0], scored), scored, scored)

    def trivial(self) -> float:
        """Return 1/2, but for sequences of one bit, which are always even."""
        count = self.longest - self.shortest + 1
        return 1 / 2 + (self.shortest == 1) / 2 / count

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Count unlike neighbours."""
        unlike = (inputs[1:] != inputs[:-1]) & (inputs[1:] >= FIRST_SYMBOL)
        asked = steps(len(inputs), inputs) == length_of(inputs)
        return at_step(unlike.sum(dim=0) % 2, asked)

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)
