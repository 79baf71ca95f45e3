"""Missing duplicate: a string twice, with one symbol to be found."""

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
    at_step,
    check_alphabet,
    draw_lengths,
    even_lengths,
    length_of,
    steps,
    with_blanks,
)
from cellbench.generators.stream import Stream

_PLACES = 2**31


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MissingDuplicate(Generator):
    """Show a string twice with one symbol hidden, and ask for that symbol.

    With shortest=4, longest=10, alphabet=2, sequence 3 of the training stream:

        input   a b a a a b a ? . . .
        target  - - - - - - - - a - -

    Token ids: 0 blank (`.`), 1 to `alphabet` the symbols (`a` and on), then the token that
    hides a symbol (`?`). Classes are the symbols. Symbols are equally likely, and so are the
    places where one is hidden, in either copy. Every sequence draws its own length, which is
    even; blanks follow it, and the answer stands on the first.

    Source: Deletang et al. 2022, arXiv:2207.02098, with 2 symbols.
    Differs from it: lengths are drawn for each sequence and not for each batch.

    Attributes:
        shortest: Steps of the shortest input, both copies together.
        longest: Steps of the longest; every even length between is as likely.
        alphabet: Distinct symbols, from 2 to 26.
    """

    shortest: int
    longest: int
    alphabet: int

    def __post_init__(self) -> None:
        even_lengths(self.shortest, self.longest)
        check_alphabet(self.alphabet)

    @property
    def reads(self) -> Reads:
        return Tokens(self._hidden + 1, "." + LETTERS[: self.alphabet] + "?")

    @property
    def answers(self) -> Answers:
        return Tokens(self.alphabet, LETTERS[: self.alphabet])

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        lengths = even_lengths(self.shortest, self.longest)
        length = draw_lengths(stream, index, lengths)
        time = lengths[-1] + 1
        string = stream.integers("symbols", index, lengths[-1] // 2, below=self.alphabet)
        hidden = stream.integers("place", index, 1, below=_PLACES)[0] * length // _PLACES
        answer = string.gather(0, (hidden % (length // 2)).unsqueeze(0))[0]
        step = steps(lengths[-1], length)
        twice = torch.where(step < length // 2, step, step - length // 2)
        shown = string.gather(0, twice.clamp_(max=len(string) - 1))
        shown.masked_fill_(step == hidden, self._hidden - FIRST_SYMBOL)
        scored = steps(time, length) == length
        inputs = with_blanks(shown, length, time=time)
        return Batch(inputs, at_step(answer, scored), scored, scored)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Take the tokens of one copy from those of the other: one token is left over."""
        length = length_of(inputs)
        step = steps(len(inputs), inputs)
        of_first = torch.where(step < length // 2, inputs, 0).sum(dim=0)
        of_second = inputs.sum(dim=0) - of_first
        found = self._hidden - (of_first - of_second).abs()
        return at_step(found - FIRST_SYMBOL, step == length)

    @property
    def _hidden(self) -> int:
        return FIRST_SYMBOL + self.alphabet

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)
