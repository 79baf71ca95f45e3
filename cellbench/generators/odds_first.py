"""Odds first: repeat the symbols at odd places, then those at even ones."""

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
class OddsFirst(Generator):
    """Show a string, and ask for its odd places first, then for the even ones.

    With shortest=2, longest=5, alphabet=2, sequence 3 of the training stream:

        input   a b a a . . . . . .
        target  - - - - a a b a - -

    Token ids: 0 blank (`.`), then the symbols (`a` and on). Classes are the symbols, which
    are equally likely. Every sequence draws its own length n; blanks follow it. Places
    count from 1. The answers, places 1, 3, 5 and so on, then 2, 4, 6, stand on the n blanks
    after it.

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
        time = 2 * self.longest
        inputs = with_blanks(symbols, length, time=time)
        step = steps(time, length)
        scored = (step >= length) & (step < 2 * length)
        odds = (length + 1) // 2
        place = 2 * (step - length)
        place = torch.where(place < 2 * odds, place, place - 2 * odds + 1)
        targets = symbols.gather(0, place.clamp_(0, self.longest - 1)).mul_(scored)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Send each symbol to where it is asked."""
        length = length_of(inputs)
        step = steps(len(inputs), inputs)
        asked_at = length + step // 2 + (step % 2) * ((length + 1) // 2)
        shown = step < length
        sent = torch.where(shown, asked_at, step)  # a blank stays, and is overwritten or not
        symbols = torch.where(shown, inputs - FIRST_SYMBOL, 0)
        found = torch.zeros_like(inputs).scatter_add_(0, sent, symbols)
        return torch.where((step >= length) & (step < 2 * length), found, 0)

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)
