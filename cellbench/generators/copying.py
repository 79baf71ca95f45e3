"""Copying memory: show symbols, wait, ask for them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens, Vectors
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole

BLANK = 0
FIRST_SYMBOL = 1


class _Layout(NamedTuple):
    """How one of the public forms of the task asks for the answer.

    Attributes:
        early: Steps from the first go token to the first answer.
        held: Whether the go token stays until the end.
        spare: Whether the go token has a class, though it is never an answer.
        number: Whether a token is given as one number and not as an id.
    """

    early: int
    held: bool
    spare: bool
    number: bool


LAYOUTS: Mapping[str, _Layout] = MappingProxyType(
    {
        "exprnn": _Layout(early=0, held=False, spare=False, number=False),
        "arjovsky": _Layout(early=1, held=False, spare=False, number=False),
        "s4": _Layout(early=0, held=True, spare=True, number=False),
        "tcn": _Layout(early=1, held=True, spare=True, number=True),
    }
)
"""Name of a public form of the task -> what is its own."""

LOSSES = ("answer", "all")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Copying(Generator):
    """Show symbols, wait, and ask for them back.

    With symbols=3, delay=2, alphabet=8 (`.` blank, `>` go), time from left to right:

        layout exprnn      5 2 7 . . > . .
        layout arjovsky    5 2 7 . > . . .
        layout s4          5 2 7 . . > > >
        layout tcn         5 2 7 . > > > >     each token as one number

        targets            . . . . . 5 2 7     in every layout
        scored             - - - - - x x x     in every layout; so is loss=answer
        loss=all           x x x x x x x x

    Token ids and classes are the same numbers: 0 blank, 1 to `alphabet` the symbols, then
    go. Where nothing is scored the target is blank; go is a class in s4 and tcn only.

    Source: Hochreiter & Schmidhuber 1997; this form, Arjovsky et al. 2016,
    arXiv:1511.06464. The layouts: Arjovsky et al. 2016; Lezcano-Casado &
    Martinez-Rubio 2019, arXiv:1901.08428 (exprnn); Bai et al. 2018, arXiv:1803.01271
    (tcn); Gu et al. 2021, arXiv:2111.00396 (s4).
    Differs from it: the metric looks at the answer only, whatever the loss looks at, so
    that accuracy without memory is 1/alphabet at any delay. Sequences are fresh, where
    some of the sources repeat a fixed set.

    Attributes:
        symbols: Symbols to remember.
        delay: Steps between the last symbol and the first answer; at least 1 where the go
            token stands before the first answer.
        alphabet: Distinct symbols.
        layout: exprnn, arjovsky, s4 or tcn.
        loss: Where the loss looks: `answer`, or `all` steps.
    """

    symbols: int
    delay: int
    alphabet: int
    layout: str
    loss: str

    def __post_init__(self) -> None:
        whole("symbols", self.symbols, low=1)
        whole("alphabet", self.alphabet, low=2)
        choice("layout", self.layout, tuple(LAYOUTS))
        choice("loss", self.loss, LOSSES)
        whole("delay", self.delay, low=LAYOUTS[self.layout].early)

    @property
    def reads(self) -> Reads:
        if LAYOUTS[self.layout].number:
            return Vectors(1)
        return Tokens(self._go + 1, self._glyphs)

    @property
    def answers(self) -> Answers:
        spare = LAYOUTS[self.layout].spare
        return Tokens(self._go + spare, self._glyphs[: self._go + spare])

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        layout = LAYOUTS[self.layout]
        shown = stream.integers("symbols", index, self.symbols, below=self.alphabet)
        shown += FIRST_SYMBOL
        answer = self.symbols + self.delay
        time = answer + self.symbols
        ids = index.new_zeros((time, len(index)))  # BLANK
        ids[: self.symbols] = shown
        first_go = answer - layout.early
        ids[first_go : time if layout.held else first_go + 1] = self._go
        targets = torch.zeros_like(ids)
        targets[answer:] = shown
        step = torch.arange(time, device=index.device).unsqueeze(1)
        scored = (step >= answer).expand(time, len(index))
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        inputs = ids.unsqueeze(2).float() if layout.number else ids
        return Batch(inputs, targets, scored, trained)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def oracle(
        self, inputs: Int[Tensor, "time batch"] | Float[Tensor, "time batch 1"]
    ) -> Int[Tensor, "time batch"]:
        """Answer when told to go: without the go token, there is no answer."""
        layout = LAYOUTS[self.layout]
        ids = inputs.squeeze(2).long() if layout.number else inputs
        told = ids == self._go
        answer = told.byte().argmax(dim=0) + layout.early
        place = torch.arange(len(ids), device=ids.device).unsqueeze(1) - answer
        answering = (place >= 0) & (place < self.symbols) & told.any(dim=0)
        recalled = ids.gather(0, place.clamp(0, self.symbols - 1))
        return torch.where(answering, recalled, BLANK)

    @property
    def _glyphs(self) -> tuple[str, ...]:
        return (".", *map(str, range(FIRST_SYMBOL, self._go)), ">")

    @property
    def _go(self) -> int:
        return FIRST_SYMBOL + self.alphabet
