"""Parity: whether the ones among some bits are odd in number."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import (
    BLANK,
    FIRST_SYMBOL,
    check_lengths,
    draw_lengths,
    length_of,
    packed_bits,
    steps,
    unpacked,
    with_blanks,
)
from cellbench.generators.stream import Stream
from cellbench.options import choice

ASKED = ("final", "running")
_LAST_OF_WORD = 30  # place of the last bit of a packed word


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Parity(Generator):
    """Show bits, and ask whether the ones among them are odd in number.

    With shortest=5, longest=9, asked=final, sequence 2 of the training stream:

        input   1 0 1 0 1 1 1 . .
        target  - - - - - - 1 - -

    With shortest=5, longest=9, asked=running, sequence 2 of the training stream:

        input   1 0 1 0 1 1 1 . .
        target  1 1 0 0 1 0 1 - -

    Token ids: 0 blank (`.`), 1 and 2 the bits 0 and 1. Class 1 is odd. Bits are fair. Every
    sequence draws its own length; blanks follow it. With asked=final the only answer stands
    on the last bit, with no blank before it: nothing tells that this bit is the last.

    Source: Hahn 2020, arXiv:1906.06755; as a test of lengths beyond those of training,
    Deletang et al. 2022, arXiv:2207.02098.
    Differs from it: Deletang et al. ask on one more step, after the last bit. Lengths are
    drawn for each sequence and not for each batch.

    Attributes:
        shortest: Bits of the shortest sequence.
        longest: Bits of the longest; every length between is as likely.
        asked: `final`, the parity of all bits; `running`, at every step that of the bits
            so far.
    """

    shortest: int
    longest: int
    asked: str

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest)
        choice("asked", self.asked, ASKED)

    @property
    def reads(self) -> Reads:
        return Tokens(3, ".01")

    @property
    def answers(self) -> Answers:
        return Tokens(2)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        words = packed_bits(stream, "bits", index, self.longest)
        inputs = with_blanks(unpacked(words, self.longest), length, time=self.longest)
        scored = self._scored(length)
        targets = unpacked(_prefix_parity(words), self.longest).mul_(scored)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / 2

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Count the ones."""
        ones = (inputs == FIRST_SYMBOL + 1).cumsum(dim=0)
        return torch.where(self._scored(length_of(inputs)), ones % 2, BLANK)

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)

    def _scored(self, length: Int[Tensor, "batch"]) -> Bool[Tensor, "time batch"]:
        step = steps(self.longest, length)
        return step == length - 1 if self.asked == "final" else step < length


def _prefix_parity(words: Int[Tensor, "words batch"]) -> Int[Tensor, "words batch"]:
    """Return words whose every bit is the parity of all bits up to it.

    Within a word by doubling; then a word is turned round if the words before it are odd.
    """
    found = words.clone()
    for shift in (1, 2, 4, 8, 16):
        found ^= found << shift
    odd = (found >> _LAST_OF_WORD) & 1
    before = (odd.cumsum(dim=0) - odd) & 1
    return found ^ -before  # -1 has all bits set
