"""Denoising copy: hold symbols that come scattered among blanks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.places import rising_places
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole

BLANK = 0
FIRST_SYMBOL = 1
LOSSES = ("answer", "all")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DenoisingCopy(Generator):
    """Show symbols at drawn steps among blanks, and ask for them in their order.

    With symbols=3, delay=4, alphabet=9, loss=answer, sequence 3 of the training stream:

        input   . 1 8 . . 5 > . . .
        target  - - - - - - - 1 8 5

    `.` is blank, `>` tells to answer from the next step on. Symbols stand at different steps
    of the `delay + symbols - 1` before it. Token ids and classes are the same numbers: 0
    blank, 1 to `alphabet` the symbols, then go, which is no class. Where nothing is scored
    the target is blank.

    Source: Jing et al. 2017, arXiv:1706.02761 (GORU), and its repository.
    Differs from it: steps are drawn without replacement, where the repository may write two
    symbols into one step and so lose one; go is a token of its own, where the repository
    gives it an id outside the table, which reads as nothing.

    Attributes:
        symbols: Symbols to remember.
        delay: Steps there are besides: what the source calls T; at least 1.
        alphabet: Distinct symbols.
        loss: Where the loss looks: `answer`, or `all` steps.
    """

    symbols: int
    delay: int
    alphabet: int
    loss: str

    def __post_init__(self) -> None:
        whole("symbols", self.symbols, low=1)
        whole("delay", self.delay, low=1)
        whole("alphabet", self.alphabet, low=2)
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return Tokens(self._go + 1, self._glyphs)

    @property
    def answers(self) -> Answers:
        return Tokens(self._go, self._glyphs[:-1])

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        shown = stream.integers("symbols", index, self.symbols, below=self.alphabet)
        shown += FIRST_SYMBOL
        go = self.delay + self.symbols - 1
        places = rising_places(stream, "places", index, self.symbols, out_of=go)
        time = go + 1 + self.symbols
        ids = index.new_zeros((time, len(index)))  # BLANK
        ids.scatter_(0, places, shown)
        ids[go] = self._go
        targets = torch.zeros_like(ids)
        targets[go + 1 :] = shown
        step = torch.arange(time, device=index.device).unsqueeze(1)
        scored = (step > go).expand(time, len(index))
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        return Batch(ids, targets, scored, trained)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Bring the symbols to the front, in their order, and read them out after go."""
        told = inputs == self._go
        symbol = (inputs != BLANK) & ~told
        front = inputs.gather(0, (~symbol).byte().argsort(dim=0, stable=True))
        place = torch.arange(len(inputs), device=inputs.device).unsqueeze(1)
        place = place - told.byte().argmax(dim=0) - 1
        answering = (place >= 0) & (place < symbol.sum(dim=0)) & told.any(dim=0)
        return torch.where(answering, front.gather(0, place.clamp(min=0)), BLANK)

    def at_length(self, length: int) -> DenoisingCopy:
        """Return it with another delay."""
        return dataclasses.replace(self, delay=length)

    @property
    def _go(self) -> int:
        return FIRST_SYMBOL + self.alphabet

    @property
    def _glyphs(self) -> tuple[str, ...]:
        return (".", *map(str, range(1, self.alphabet + 1)), ">")
