"""Bucket sort: repeat a string with its symbols in order."""

from __future__ import annotations

import dataclasses
import functools
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
class BucketSort(Generator):
    """Show a string, and ask for its symbols in order.

    With shortest=2, longest=5, alphabet=5, sequence 3 of the training stream:

        input   a e c b . . . . . .
        target  - - - - a b c e - -

    Token ids: 0 blank (`.`), then the symbols (`a` and on). Classes are the symbols, which
    are equally likely. Every sequence draws its own length n; blanks follow it. The
    answers, lowest symbol first, stand on the n blanks after it.

    Source: Deletang et al. 2022, arXiv:2207.02098, with 5 symbols.
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
        targets = torch.zeros_like(inputs)
        for symbol in range(self.alphabet - 1):  # how many are no higher: from there on, higher
            up_to = ((inputs >= FIRST_SYMBOL) & (inputs <= FIRST_SYMBOL + symbol)).sum(dim=0)
            targets += step - length >= up_to
        targets *= scored
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        """Return how often the likeliest symbol of each place is there, over all places.

        The i-th in order is at most symbol k if at least i of n symbols are: a binomial.
        """
        lengths = range(self.shortest, self.longest + 1)
        right = sum(_likeliest(n, self.alphabet) for n in lengths)
        return right / sum(lengths)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Sort; the blanks come first, and at the first answer they are left behind."""
        length = length_of(inputs)
        step = steps(len(inputs), inputs)
        asked = (step >= length) & (step < 2 * length)
        place = (len(inputs) + step - 2 * length).clamp(0, len(inputs) - 1)
        ordered = inputs.sort(dim=0).values.gather(0, place)
        return torch.where(asked, ordered - FIRST_SYMBOL, 0)

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)


@functools.lru_cache(maxsize=4096)
def _likeliest(length: int, alphabet: int) -> float:
    """Return how many places of `length`, on average, hold their likeliest symbol."""
    up_to = torch.arange(1, alphabet, dtype=torch.float64).unsqueeze(1) / alphabet
    count = torch.arange(length + 1, dtype=torch.float64)
    total = torch.tensor(length, dtype=torch.float64)
    ways = (total + 1).lgamma() - (count + 1).lgamma() - (total - count + 1).lgamma()
    odds = (ways + count * up_to.log() + (total - count) * (1 - up_to).log()).exp()
    at_least = odds.flip(1).cumsum(1).flip(1)[:, 1:]  # of each place from 1 on
    ones, nil = torch.ones_like(at_least[:1]), torch.zeros_like(at_least[:1])
    return float(torch.cat([nil, at_least, ones]).diff(dim=0).amax(0).sum())
