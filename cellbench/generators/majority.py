"""Majority: which of two bits there is more of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import (
    FIRST_SYMBOL,
    at_step,
    draw_lengths,
    fair_bits,
    length_of,
    odd_lengths,
    steps,
    with_blanks,
)
from cellbench.generators.stream import Stream


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Majority(Generator):
    """Show an odd number of bits, and ask which bit there is more of.

    With shortest=3, longest=9, sequence 8 of the training stream:

        input   1 1 1 0 0 1 1 . . .
        target  - - - - - - - 1 - -

    Token ids: 0 blank (`.`), 1 and 2 the bits 0 and 1. Bits are fair. Every sequence draws
    its own length; blanks follow it, and the answer stands on the first. Lengths are odd, so
    that there is always a majority. Margins are small: of n bits, about the root of n.

    Source: as we define it; the language is in many studies of what networks can count,
    among them Merrill et al. 2022, arXiv:2106.16213.
    Differs from it: lengths are odd, and asked of all bits once, after the last.

    Attributes:
        shortest: Bits of the shortest sequence.
        longest: Bits of the longest; every odd length between is as likely.
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        odd_lengths(self.shortest, self.longest)

    @property
    def reads(self) -> Reads:
        return Tokens(3, ".01")

    @property
    def answers(self) -> Answers:
        return Tokens(2)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        lengths = odd_lengths(self.shortest, self.longest)
        length = draw_lengths(stream, index, lengths)
        bits = fair_bits(stream, "bits", index, lengths[-1])
        inputs = with_blanks(bits, length, time=lengths[-1] + 1)
        ones = (inputs == FIRST_SYMBOL + 1).sum(dim=0)
        scored = steps(lengths[-1] + 1, length) == length
        return Batch(inputs, at_step((2 * ones > length).long(), scored), scored, scored)

    def trivial(self) -> float:
        return 1 / 2

    def controls(self) -> Mapping[str, float]:
        """Tell what one bit gives away: it decides where the others are a draw."""
        lengths = odd_lengths(self.shortest, self.longest)
        draws = (math.comb(n - 1, n // 2) / 2**n for n in lengths)
        return {"any one bit": 1 / 2 + sum(draws) / len(lengths)}

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Sort the bits and take the one in the middle; blanks come first."""
        length = length_of(inputs)
        middle = len(inputs) - 1 - length // 2
        found = inputs.sort(dim=0).values.gather(0, middle.unsqueeze(0))[0]
        asked = steps(len(inputs), inputs) == length
        return at_step(found - FIRST_SYMBOL, asked)

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)
