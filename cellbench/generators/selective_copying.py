"""Selective copying: symbols scattered among blanks, to be told in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import LOSSES, some_of
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole, whole_up_to

BLANK = 0
FIRST_SYMBOL = 1
LAYOUTS = ("s4", "mad")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SelectiveCopying(Generator):
    """Show symbols at random places among blanks, and ask for all of them in order.

    With length=8, symbols=3, alphabet=5, layout=s4, loss=answer,
    sequence 0 of the training stream:

        input   . . 4 . 1 . 4 . > > >
        target  - - - - - - - - 4 1 4

    With length=8, symbols=3, alphabet=5, layout=mad, loss=answer,
    sequence 0 of the training stream:

        input   . . 4 . . 1 . 4 > . . .
        target  - - - - - - - - - 4 1 4

    Ids are 0 blank (`.`), 1 to `alphabet` the symbols, then the marker (`>`). In layout s4 the
    marker stands wherever a symbol is asked, and every set of places is equally likely. In layout
    mad it stands once, ahead of the answers; each blank falls before a random symbol, so that
    the step ahead of the marker always shows a symbol.

    Source: Gu & Dao 2023, arXiv:2312.00752; layout s4: Gu et al. 2021, arXiv:2111.00396; layout
    mad: Poli et al. 2024, arXiv:2403.17844.
    Differs from it: the first source never published its generator; alphabet=14, the blank and
    the marker are its 16 ids as we define it. `length` counts the steps before the marker only.
    The marker has no class. With loss=all the other steps ask for the blank.

    Attributes:
        length: Steps in which the symbols are scattered.
        symbols: Symbols to remember.
        alphabet: Distinct symbols.
        layout: s4 or mad.
        loss: Where the loss looks: `answer`, or `all` steps.
    """

    length: int
    symbols: int
    alphabet: int
    layout: str
    loss: str

    def __post_init__(self) -> None:
        whole("length", self.length, low=1)
        whole_up_to("symbols", self.symbols, low=1, high=self.length, of="length")
        whole("alphabet", self.alphabet, low=2)
        choice("layout", self.layout, LAYOUTS)
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return Tokens(self._marker + 1, (*self._glyphs, ">"))

    @property
    def answers(self) -> Answers:
        return Tokens(self._marker, self._glyphs)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        symbols = stream.integers("symbols", index, self.symbols, below=self.alphabet)
        symbols += FIRST_SYMBOL
        answer = self._first_answer
        time = answer + self.symbols
        inputs = index.new_zeros((time, len(index)))  # BLANK
        inputs.scatter_(0, self._places(stream, index), symbols)
        inputs[self.length : time if self.layout == "s4" else answer] = self._marker
        targets = torch.zeros_like(inputs)
        targets[answer:] = symbols
        step = torch.arange(time, device=index.device).unsqueeze(1)
        scored = (step >= answer).expand(time, len(index))
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        return Batch(inputs, targets, scored, trained)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def at_length(self, length: int) -> SelectiveCopying:
        return replace(self, length=length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Count the symbols as they come, and tell the next one at every step of the answer."""
        shown = (inputs != BLANK) & (inputs != self._marker)
        told = (inputs == self._marker).cumsum(dim=0) > 0
        if self.layout == "mad":  # the marker itself asks for nothing
            told &= inputs != self._marker
        number = shown.cumsum(dim=0).where(shown, 0)
        table = inputs.new_zeros((len(inputs) + 1, inputs.shape[1]))
        table.scatter_(0, number, inputs)
        return table.gather(0, told.cumsum(dim=0)).where(told, BLANK)

    @property
    def _marker(self) -> int:
        return FIRST_SYMBOL + self.alphabet

    @property
    def _glyphs(self) -> tuple[str, ...]:
        return (".", *map(str, range(FIRST_SYMBOL, self._marker)))

    @property
    def _first_answer(self) -> int:
        return self.length + (self.layout == "mad")

    def _places(self, stream: Stream, index: Int[Tensor, "batch"]) -> Int[Tensor, "symbols batch"]:
        """Return where each symbol stands, the earliest first."""
        if self.layout == "s4":
            places = some_of(stream, "places", index, self.symbols, out_of=self.length)
            return places.sort(dim=0).values
        blanks = self.length - self.symbols
        before = stream.integers("blanks", index, blanks, below=self.symbols)
        counts = index.new_zeros((self.symbols, len(index)))
        counts.scatter_add_(0, before, torch.ones_like(before))
        own = torch.arange(self.symbols, device=index.device).unsqueeze(1)
        return counts.cumsum(dim=0) + own
