"""Binary multiplication: multiply two numbers, the lowest bit first."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.arithmetic import (
    between,
    bits_and_end,
    check_lengths,
    delayed,
    first_of,
    integers_below,
    operands,
)
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import draw_lengths, steps
from cellbench.generators.stream import Stream
from cellbench.options import whole_up_to

TIMES = 2
BLANK = 3
END = 2
SHORTEST = 3
LONGEST = 16  # the baseline goes through all pairs of numbers


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryMultiplication(Generator):
    """Show two binary numbers, and ask for the bits of their product.

    With shortest=3, longest=7, sequence 5 of the training stream:

        input   1 1 0 1 * 1 0 . . . . . . .
        target  - - - - - - - 1 1 0 1 $ - -

    Each number is written from its lowest bit, and may have zeros on top. The product has none
    (0 is one bit), and ends with `$`. The first answer stands on the first blank.

    Both numbers together with the sign are as long as was drawn, all lengths from `shortest`
    to `longest` alike; so are the places of the sign; bits are fair.

    Source: Delétang et al. 2023, arXiv:2207.02098.
    Differs from it: numbers may be 0, and inputs have up to 16 tokens, for which what is right
    by chance can be counted. Only answers are learned, as there.

    Attributes:
        shortest: Tokens of the shortest input; at least 3.
        longest: Tokens of the longest; up to 16.
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        whole_up_to("longest", self.longest, low=SHORTEST, high=LONGEST, of="what is counted")
        check_lengths(self.shortest, self.longest, low=SHORTEST)

    @property
    def reads(self) -> Reads:
        return Tokens(4, "01*.")

    @property
    def answers(self) -> Answers:
        return Tokens(3, "01$")

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        sign = 1 + integers_below(stream, "sign", index, length - 2)
        bits = stream.integers("bits", index, self.longest, below=2)
        time = 2 * self.longest
        step = steps(self.longest, index)
        shown = torch.where(step == sign, TIMES, bits).where(step < length, BLANK)
        inputs = torch.cat([shown, torch.full_like(shown, BLANK)])
        place = steps(self.longest - 1, index)
        one, other = ((part << place).sum(dim=0) for part in operands(shown, sign, length))
        answer, count = bits_and_end(((one * other) >> place) & 1, END)
        scored = between(time, length, length + count)
        return Batch(inputs, delayed(answer, length, time), scored, scored)

    def trivial(self) -> float:
        """Return what is right of all answers if each is the likeliest at its place."""
        each = [_expected(length) for length in range(self.shortest, self.longest + 1)]
        return sum(right for right, _ in each) / sum(asked for _, asked in each)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Multiply as on paper: a shifted copy for every bit, then carry from place to place."""
        length, sign = first_of(inputs, BLANK), first_of(inputs, TIMES)
        one, other = operands(inputs[: self.longest], sign, length)
        columns = torch.zeros_like(one)
        for place in range(len(one)):
            columns[place:] += one[place] * other[: len(one) - place]
        for place in range(len(one) - 1):
            columns[place + 1] += columns[place] >> 1
        answer, _ = bits_and_end(columns & 1, END)
        return delayed(answer, length, len(inputs))

    def at_length(self, length: int) -> BinaryMultiplication:
        return replace(self, shortest=length, longest=length)


@functools.cache
def _expected(length: int) -> tuple[float, float]:
    """Return how many answers the likeliest tokens get right, and how many are asked.

    All pairs of numbers are gone through; a pair of lengths and its mirror are alike.
    """
    pairs = 2 ** (length - 1)
    counts = torch.zeros((length, 3), dtype=torch.float64)
    for bits in range(1, length - 1):
        one, other = torch.arange(2**bits), torch.arange(2 ** (length - 1 - bits))
        product = (one.unsqueeze(1) * other).flatten()
        longer = pairs
        for place in range(length):
            before = longer
            longer = int((product >= 2**place).sum()) if place else pairs
            ones = int(((product >> place) & 1).sum())
            counts[place] += torch.tensor([longer - ones, ones, before - longer])
    counts /= pairs * (length - 2)
    return float(counts.amax(dim=1).sum()), float(counts.sum())
