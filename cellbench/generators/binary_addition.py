"""Binary addition: add two numbers, the lowest bit first."""

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

PLUS = 2
BLANK = 3
END = 2
SHORTEST = 3


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryAddition(Generator):
    """Show two binary numbers, and ask for the bits of their sum.

    With shortest=3, longest=6, sequence 5 of the training stream:

        input   1 + 0 1 1 1 . . . . . .
        target  - - - - - - 1 1 1 1 $ -

    Each number is written from its lowest bit, and may have zeros on top. The sum has none
    (0 is one bit), and ends with `$`. The first answer stands on the first blank.

    Both numbers together with the plus are as long as was drawn, all lengths from
    `shortest` to `longest` alike; so are the places of the plus; bits are fair.

    Source: Delétang et al. 2023, arXiv:2207.02098.
    Differs from it: numbers may be 0. Only answers are learned, as there: nothing is to be
    said while the numbers are shown.

    Attributes:
        shortest: Tokens of the shortest input; at least 3.
        longest: Tokens of the longest.
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest, low=SHORTEST)

    @property
    def reads(self) -> Reads:
        return Tokens(4, "01+.")

    @property
    def answers(self) -> Answers:
        return Tokens(3, "01$")

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        plus = 1 + integers_below(stream, "plus", index, length - 2)
        bits = stream.integers("bits", index, self.longest, below=2)
        time = 2 * self.longest
        step = steps(self.longest, index)
        shown = torch.where(step == plus, PLUS, bits).where(step < length, BLANK)
        inputs = torch.cat([shown, torch.full_like(shown, BLANK)])
        one, other = operands(shown, plus, length)
        answer, count = bits_and_end(one ^ other ^ _carried(one, other), END)
        scored = between(time, length, length + count)
        return Batch(inputs, delayed(answer, length, time), scored, scored)

    def trivial(self) -> float:
        """Return what is right of all answers if each is the likeliest at its place."""
        each = [_expected(length) for length in range(self.shortest, self.longest + 1)]
        return sum(right for right, _ in each) / sum(asked for _, asked in each)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Add with carries that reach twice as far at every pass."""
        length, plus = first_of(inputs, BLANK), first_of(inputs, PLUS)
        one, other = operands(inputs[: self.longest], plus, length)
        made, passed = one & other, one ^ other
        reach = 1
        while reach < len(one):
            behind = torch.zeros_like(made[:reach])
            made = made | passed & torch.cat([behind, made[:-reach]])
            passed = passed & torch.cat([behind, passed[:-reach]])
            reach *= 2
        carried = torch.cat([torch.zeros_like(made[:1]), made[:-1]])
        answer, _ = bits_and_end(one ^ other ^ carried, END)
        return delayed(answer, length, len(inputs))

    def at_length(self, length: int) -> BinaryAddition:
        return replace(self, shortest=length, longest=length)


def _carried(one: Tensor, other: Tensor) -> Tensor:
    """Return what is carried into each place.

    That is the bit of the nearest lower place where both numbers have the same one.
    """
    place = steps(len(one), one) + 1
    marks = torch.where(one == other, 2 * place + one, 0)
    carry = marks.cummax(dim=0).values & 1
    return torch.cat([torch.zeros_like(carry[:1]), carry[:-1]])


@functools.cache
def _expected(length: int) -> tuple[float, float]:
    """Return how many answers the likeliest tokens get right, and how many are asked.

    With s bits and l >= s bits, the lower l bits of the sum are fair: the longer number is.
    Of the pairs, 2**(i + s) - 2**s * (2**s - 1) / 2 have a sum below 2**i if s <= i <= l,
    and 2**i * (2**i + 1) / 2 if i < s.
    """
    splits = torch.arange(1, length - 1).double()
    short, long = splits.minimum(length - 1 - splits), splits.maximum(length - 1 - splits)
    place = torch.arange(length).double().unsqueeze(1)
    wide = 2 ** (place - long) - (2 ** (short - long) - 2**-long) / 2
    narrow = (2 ** (2 * place - short - long) + 2 ** (place - short - long)) / 2
    up_to = torch.where(place >= short, wide, narrow)  # the sum has at most `place` bits
    up_to = torch.where(place > long, 1.0, up_to) * (place > 0)
    up_to = up_to.mean(dim=1)
    carry = (2 ** (short - long) - 2**-long) / 2
    ones = torch.where(place < long, 0.5, torch.where(place == long, carry, 0.0)).mean(dim=1)
    ends = torch.cat([up_to[:1], up_to.diff()])
    zeros = 1 - up_to - ones
    best = torch.stack([zeros, ones, ends]).amax(dim=0)
    return float(best.sum()), float((1 - up_to + ends).sum())
