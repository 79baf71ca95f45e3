"""Duplicate: repeat a string twice."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import (
    FIRST_SYMBOL,
    LETTERS,
    check_alphabet,
    check_lengths,
    draw_lengths,
    length_of,
    steps,
    with_blanks,
)
from cellbench.generators.stream import Stream


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Generator):
    """Show a string, and ask for it twice over.

    With shortest=2, longest=5, alphabet=2, sequence 6 of the training stream:

        input   a a b . . . . . . . . . . . .
        target  - - - a a b a a b - - - - - -

    Token ids: 0 blank (`.`), then the symbols (`a` and on). Classes are the symbols, which
    are equally likely. Every sequence draws its own length n; blanks follow it. The
    answers stand on the 2n blanks after it.

    Source: Deletang et al. 2022, arXiv:2207.02098, with 2 symbols.
    Differs from it: lengths are drawn for each sequence and not for each batch.

    Attributes:
        shortest: Symbols of the shortest sequence.
        longest: Symbols of the longest; every length between is as likely.
        alphabet: Distinct symbols, from 2 to 26.
    """

    shortest: int
    longest: int
    alphabet: int

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest)
        check_alphabet(self.alphabet)

    @property
    def reads(self) -> Reads:
        return Tokens(FIRST_SYMBOL + self.alphabet, "." + LETTERS[: self.alphabet])

    @property
    def answers(self) -> Answers:
        return Tokens(self.alphabet, LETTERS[: self.alphabet])

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        symbols = stream.integers("symbols", index, self.longest, below=self.alphabet)
        time = 3 * self.longest
        inputs = with_blanks(symbols, length, time=time)
        step = steps(time, length)
        scored = (step >= length) & (step < 3 * length)
        place = torch.where(step < 2 * length, step - length, step - 2 * length)
        targets = symbols.gather(0, place.clamp_(0, self.longest - 1)).mul_(scored)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Wrap the steps around at the length of the string."""
        length = length_of(inputs)
        step = steps(len(inputs), inputs)
        asked = (step >= length) & (step < 3 * length)
        return torch.where(asked, inputs.gather(0, step % length) - FIRST_SYMBOL, 0)

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)
