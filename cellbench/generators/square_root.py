"""Square root: the whole part of a root, the lowest bit first."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.arithmetic import between, bits_and_end, check_lengths, delayed, first_of
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import draw_lengths, steps
from cellbench.generators.stream import Stream
from cellbench.options import whole_up_to

BLANK = 2
END = 2
LONGEST = 62  # the square of the root plus 1 fits in 63 bits


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SquareRoot(Generator):
    """Show a binary number, and ask for the bits of its square root, rounded down.

    With shortest=3, longest=7, sequence 5 of the training stream:

        input   1 1 0 1 1 1 0 . . . . .
        target  - - - - - - - 1 1 1 $ -

    The number is written from its lowest bit, and may have zeros on top. The root has none
    (0 is one bit), and ends with `$`. The first answer stands on the first blank.

    All lengths from `shortest` to `longest` are alike, and bits are fair.

    Source: Delétang et al. 2023, arXiv:2207.02098.
    Differs from it: the lowest bit comes first, as in binary addition, and the root is written
    without zeros on top and with an end, where the code that came with the paper has half as
    many bits as the number. A number may be 0, and has up to 62 bits. Only answers are learned,
    as there.

    Attributes:
        shortest: Bits of the shortest number.
        longest: Bits of the longest; up to 62.
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        whole_up_to("longest", self.longest, low=1, high=LONGEST, of="what 64 bits hold")
        check_lengths(self.shortest, self.longest, low=1)

    @property
    def reads(self) -> Reads:
        return Tokens(3, "01.")

    @property
    def answers(self) -> Answers:
        return Tokens(3, "01$")

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        bits = stream.integers("bits", index, self.longest, below=2)
        step = steps(self.longest, index)
        shown = torch.where(step < length, bits, BLANK)
        number = (torch.where(step < length, bits, 0) << step).sum(dim=0)
        root = number.double().sqrt().long()  # may err by 1, which is put right
        root = root - (root * root > number).long()
        root = root + ((root + 1) * (root + 1) <= number)
        answer, count = bits_and_end(self._bits(root), END)
        time = self.longest + len(answer)
        inputs = torch.cat([shown, torch.full_like(answer, BLANK)])
        scored = between(time, length, length + count)
        return Batch(inputs, delayed(answer, length, time), scored, scored)

    def trivial(self) -> float:
        """Return what is right of all answers if each is the likeliest at its place."""
        each = [_expected(length) for length in range(self.shortest, self.longest + 1)]
        return sum(right for right, _ in each) / sum(asked for _, asked in each)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Try the bits of the root one by one, the highest first."""
        step = steps(len(inputs), inputs)
        number = ((inputs == 1).long() << step.clamp(max=LONGEST)).sum(dim=0)
        root = torch.zeros_like(number)
        for place in range((self.longest + 1) // 2 - 1, -1, -1):
            more = root + (1 << place)
            root = torch.where(more * more <= number, more, root)
        answer, _ = bits_and_end(self._bits(root), END)
        return delayed(answer, first_of(inputs, BLANK), len(inputs))

    def at_length(self, length: int) -> SquareRoot:
        return replace(self, shortest=length, longest=length)

    def _bits(self, root: Tensor) -> Tensor:
        return (root >> steps((self.longest + 1) // 2, root)) & 1


def _expected(length: int) -> tuple[float, float]:
    """Return how many answers the likeliest tokens get right, and how many are asked.

    Bit i of the root is 1 for numbers from ((2j + 1) 2**i)**2 to below ((2j + 2) 2**i)**2,
    which are 4**i (4j + 3) for each j; the last such range may be cut off.
    """
    numbers = 2**length
    largest = math.isqrt(numbers - 1)
    right = asked = 0
    longer = numbers  # numbers whose root has more than `place` bits
    for place in range(largest.bit_length() + 1):
        ranges, cut_off = divmod(largest + 1, 2 << place)
        ones = 4**place * (2 * ranges**2 + ranges)
        start = (2 * ranges + 1) << place
        if not cut_off:  # the last range may end beyond the numbers
            ones -= (largest + 1) ** 2 - numbers
        elif start <= largest:
            ones += numbers - start**2
        before, longer = longer, numbers - 4**place if place else numbers
        longer = max(longer, 0)
        ends = before - longer
        right += max(longer - ones, ones, ends)
        asked += before
    return right / numbers, asked / numbers
