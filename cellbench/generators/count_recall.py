"""Count recall: how often some symbols were there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import LETTERS, check_alphabet, steps
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CountRecall(Generator):
    """Show symbols, then ask for some of them how often they were there.

    With length=8, alphabet=4, asked=2, sequence 12 of the training stream:

        input   b b a b c c c c C A
        target  - - - - - - - - 4 1

    Token ids: 0 to `alphabet - 1` the symbols as they are shown (`a` and on), then the same
    symbols as they are asked (`A` and on). Classes are counts, from 0 to `length`. Symbols
    are equally likely; those asked are different ones, in random order.

    Source: as we define it, after the game CountRecall of Morad et al. 2023,
    arXiv:2303.01859.
    Differs from it: there the count so far is asked at every step while cards go on coming;
    here all symbols come first. A length beyond that of training has counts that were never
    answers, so there is no `at_length`.

    Attributes:
        length: Symbols to count.
        alphabet: Distinct symbols, from 2 to 26.
        asked: How many of them are asked, at most `alphabet`.
    """

    length: int
    alphabet: int
    asked: int

    def __post_init__(self) -> None:
        whole("length", self.length, low=1)
        check_alphabet(self.alphabet)
        whole_up_to("asked", self.asked, low=1, high=self.alphabet, of="alphabet")

    @property
    def reads(self) -> Reads:
        shown = LETTERS[: self.alphabet]
        return Tokens(2 * self.alphabet, shown + shown.upper())

    @property
    def answers(self) -> Answers:
        return Tokens(self.length + 1)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        shown = stream.integers("symbols", index, self.length, below=self.alphabet)
        asked = stream.choose("asked", index, self.asked, out_of=self.alphabet)
        counts = index.new_zeros((self.alphabet, len(index)))
        counts.scatter_add_(0, shown, torch.ones_like(shown))
        inputs = torch.cat([shown, asked + self.alphabet])
        targets = torch.cat([torch.zeros_like(shown), counts.gather(0, asked)])
        scored = (steps(len(inputs), index) >= self.length).expand_as(inputs)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        """Return the odds of the likeliest count: a binomial."""
        odds = (
            math.comb(self.length, count) * (self.alphabet - 1) ** (self.length - count)
            for count in range(self.length + 1)
        )
        strings: int = self.alphabet**self.length
        best: int = max(odds)
        return best / strings

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Sort all tokens, and measure how far a symbol's run in them reaches."""
        is_asked = inputs >= self.alphabet
        ordered = inputs.T.contiguous().sort(dim=1).values
        symbol = torch.where(is_asked, inputs - self.alphabet, 0).T.contiguous()
        end = torch.searchsorted(ordered, symbol, right=True)
        start = torch.searchsorted(ordered, symbol)
        return torch.where(is_asked, (end - start).T, 0)
