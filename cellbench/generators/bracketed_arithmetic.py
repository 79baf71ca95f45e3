"""Bracketed arithmetic: what an expression is worth, modulo a number."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators import brackets
from cellbench.generators.arithmetic import check_lengths, first_of
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import draw_lengths, steps
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole, whole_up_to

LARGEST = 10  # a digit is one token
OPERATORS = ("+-", "+-*")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BracketedArithmetic(Generator):
    """Show an expression in brackets, and ask what it is worth.

    With shortest=9, longest=13, free=12, modulus=5, operators=+-*, sequence 1 of the
    training stream:

        input   ( ( - 3 ) * ( - 2 - 4 ) ) .
        target  - - - - - - - - - - - - - 3

    An expression of 1 to 4 tokens is d, -d, (d) or (-d), where d is a digit below `modulus`;
    a longer one is (x+y), (x-y) or, with `operators` +-*, (x*y). All of it is meant modulo
    `modulus`. The answer stands on the first blank.

    All lengths from `shortest` to `longest` are alike. Of a pair, x has any number of tokens
    that leaves one for y, each as likely as another; nested deeper than `free` pairs, it has
    half of them. Digits are uniform, and so are operators.

    Source: Delétang et al. 2023, arXiv:2207.02098.
    Differs from it: pairs that are deeper than `free` split in the middle, so that the depth
    is bounded. The code that came with the paper has `operators` +- unless told otherwise. One
    step is asked, and only that is learned, as there.

    Attributes:
        shortest: Tokens of the shortest expression.
        longest: Tokens of the longest.
        free: Pairs of operands in one another that split anywhere.
        modulus: 2 to 10; the digits are those below it.
        operators: `+-`, or `+-*`.
    """

    shortest: int
    longest: int
    free: int
    modulus: int
    operators: str

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest, low=1)
        whole("free", self.free, low=0)
        whole_up_to("modulus", self.modulus, low=2, high=LARGEST, of="ten digits")
        choice("operators", self.operators, OPERATORS)

    @property
    def reads(self) -> Reads:
        return Tokens(self._blank + 1, "0123456789"[: self.modulus] + brackets.SIGNS + ".")

    @property
    def answers(self) -> Answers:
        return Tokens(self.modulus)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        expression = brackets.drawn(
            stream,
            index,
            length,
            longest=self.longest,
            free=self.free,
            modulus=self.modulus,
            operators=len(self.operators),
        )
        step = steps(self.longest + 1, index)
        shown = torch.cat([expression.ids, expression.ids[:1]])
        inputs = torch.where(step < length, shown, self._blank)
        scored = step == length
        return Batch(inputs, scored * expression.value, scored, scored)

    def trivial(self) -> float:
        """Return how often the likeliest value of each length is right."""
        odds = _law(self.longest, self.free, self.modulus, len(self.operators))
        return float(odds[self.shortest :].amax(dim=1).mean())

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Match the brackets, and work from the innermost outwards."""
        length = first_of(inputs, self._blank)
        value = brackets.values(inputs, self.modulus, self.longest)
        return (steps(len(inputs), inputs) == length) * value

    def at_length(self, length: int) -> BracketedArithmetic:
        return replace(self, shortest=length, longest=length)

    @property
    def _blank(self) -> int:
        return self.modulus + len(brackets.SIGNS)


@functools.cache
def _law(longest: int, free: int, modulus: int, operators: int) -> Tensor:
    return brackets.law(longest, free, modulus, range(operators))
