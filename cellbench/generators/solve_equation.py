"""Solve equation: which digit is missing from an expression whose worth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators import brackets
from cellbench.generators.arithmetic import check_lengths, first_of, integers_below
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import draw_lengths, steps
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to

LARGEST = 10  # a digit is one token
SHORTEST = 3
SIGNS = "+-x()=."
OPERATORS = 2
UNKNOWN = 2  # in place of `*`, which no equation has
EQUALS, BLANK = 5, 6


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SolveEquation(Generator):
    """Show an equation with one unknown digit, and ask for the digit.

    With shortest=9, longest=13, free=12, modulus=5, sequence 5 of the training stream:

        input   ( ( - x ) + ( - 4 ) ) = 4 .
        target  - - - - - - - - - - - - - 2

    What is left of `=` is an expression as in bracketed arithmetic, of sums and differences
    alone, so that there is one solution; `x` stands for one of its digits, each as likely as
    another. All is meant modulo `modulus`. The answer stands on the first blank.

    All lengths from `shortest` to `longest` are alike, `=` and the number after it included.

    Source: Delétang et al. 2023, arXiv:2207.02098.
    Differs from it: pairs that are deeper than `free` split in the middle, so that the depth
    is bounded; and x stands for each digit alike, where the code that came with the paper takes
    the first digit from some place on. One step is asked, and only that is learned, as there.

    Attributes:
        shortest: Tokens of the shortest equation; at least 3.
        longest: Tokens of the longest.
        free: Pairs of operands in one another that split anywhere.
        modulus: 2 to 10; the digits are those below it.
    """

    shortest: int
    longest: int
    free: int
    modulus: int

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest, low=SHORTEST)
        whole("free", self.free, low=0)
        whole_up_to("modulus", self.modulus, low=2, high=LARGEST, of="ten digits")

    @property
    def reads(self) -> Reads:
        return Tokens(self.modulus + len(SIGNS), "0123456789"[: self.modulus] + SIGNS)

    @property
    def answers(self) -> Answers:
        return Tokens(self.modulus)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        left = brackets.drawn(
            stream,
            index,
            length - 2,
            longest=self.longest - 2,
            free=self.free,
            modulus=self.modulus,
            operators=OPERATORS,
        )
        rank = left.digit.cumsum(dim=0)
        unknown = left.digit & (rank == 1 + integers_below(stream, "x", index, rank[-1]))
        answer = (left.ids * unknown).sum(dim=0)
        ids = torch.where(unknown, self.modulus + UNKNOWN, left.ids)
        step = steps(self.longest + 1, index)
        shown = torch.cat([ids, ids[:1], ids[:1], ids[:1]])
        shown = torch.where(step == length - 2, self.modulus + EQUALS, shown)
        shown = torch.where(step == length - 1, left.value, shown)
        inputs = torch.where(step < length, shown, self.modulus + BLANK)
        scored = step == length
        return Batch(inputs, scored * answer, scored, scored)

    def trivial(self) -> float:
        return 1 / self.modulus

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Count each digit with the sign that it has outside all brackets."""
        length, equals = (first_of(inputs, self.modulus + sign) for sign in (BLANK, EQUALS))
        step = steps(len(inputs), inputs)
        minus = (inputs == self.modulus + brackets.MINUS).roll(1, 0)  # of what comes after it
        opens, closes = (self.modulus + sign for sign in (brackets.OPEN, brackets.CLOSE))
        turns = minus & (inputs == opens)
        back = torch.where(turns, brackets.matched(inputs, opens, closes), len(inputs))
        turned = torch.zeros_like(inputs[:1]).expand(len(inputs) + 1, -1).clone()
        turned = turned.scatter_(0, back, 1)[:-1] + turns
        twice = minus & minus.roll(1, 0)  # as in 1--2
        sign = 1 - 2 * ((turned.cumsum(dim=0) + minus + twice) % 2)
        known = (inputs < self.modulus) & (step < equals)
        rest = (sign * inputs * known).sum(dim=0)
        result = inputs.gather(0, (equals + 1).unsqueeze(0))[0]
        of_x = (sign * (inputs == self.modulus + UNKNOWN)).sum(dim=0)
        return (step == length) * ((of_x * (result - rest)) % self.modulus)

    def at_length(self, length: int) -> SolveEquation:
        return replace(self, shortest=length, longest=length)
