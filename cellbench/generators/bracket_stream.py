"""Bracket stream: symbols in brackets, others, the same in brackets again; in any order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Odds, Reads
from cellbench.generators.known_odds import asked, asked_fields, constant, told, without_memory
from cellbench.generators.ordering import places, turns
from cellbench.generators.stream import Stream
from cellbench.options import whole

MARKS = ("[", "]", "/")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BracketStream(Generator):
    """Ask for symbols in brackets, for others, and for the first again in brackets.

    With saved=1, random=3, alphabet=10, repeats=1, order=forward, sequence 5 of the
    training stream:

        input 0     ~    [    0    ]    4    9    2    [    0    ]
        input 1     0    1    2    3    4    5    6    7    8    9
        target      [    0    ]    4    9    2    [    0    ]    /
        bits      .00 3.32  .00 3.32 3.32 3.32  .00  .00  .00  .00

    `/` is a newline, after which the next string of a sequence comes, if any. All symbols are
    uniform; brackets and newlines always stand where they do. The inputs are the symbol that
    was asked for last (`~` for none yet) and the place that is asked for now. Of two places that
    hold the same saved symbol, the one that is asked for first costs log2(alphabet) bits, the
    other nothing, in every order; what differs is how long it must be remembered.

    Source: our own definition, of a known kind: distant brackets that must agree.
    Differs from it: in nothing.

    Attributes:
        saved: Symbols in brackets.
        random: Symbols between the two brackets.
        alphabet: Distinct symbols.
        repeats: Strings of a sequence.
        order: In which places are asked for: forward, reverse, stride(k), block(k),
            bit_reversed, or random (one for ever).
    """

    saved: int
    random: int
    alphabet: int
    repeats: int
    order: str

    def __post_init__(self) -> None:
        whole("saved", self.saved, low=1)
        whole("random", self.random, low=0)
        whole("alphabet", self.alphabet, low=2)
        whole("repeats", self.repeats, low=1)
        places(self.order, self.length)

    @property
    def length(self) -> int:
        """Symbols of a sequence, marks among them."""
        return self.repeats * self._string

    @property
    def reads(self) -> Reads:
        return asked_fields(self._symbols, self.length, self._glyphs)

    @property
    def answers(self) -> Answers:
        return Odds(self._symbols, self._glyphs)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        saved, between = (
            stream.integers(what, index, self.repeats * count, below=self.alphabet).view(
                self.repeats, count, len(index)
            )
            for what, count in (("saved", self.saved), ("between", self.random))
        )
        shape = (self.repeats, 1, len(index))
        opening, closing, newline = (index.new_full(shape, self.alphabet + m) for m in range(3))
        again = (opening, saved, closing)
        text = torch.cat([*again, between, *again, newline], 1).flatten(0, 1)
        nats = constant(self._nats(), text).unsqueeze(1).expand_as(text)
        return asked(text, self.order, self._symbols, nats)

    def trivial(self) -> float:
        """Return what the saved symbols are worth, which nothing else tells."""
        return self.repeats * self.saved * math.log2(self.alphabet)

    def controls(self) -> Mapping[str, float]:
        return without_memory(self.trivial(), self.order, self.length, self._shared)

    def oracle(self, inputs: Int[Tensor, "time batch 2"]) -> Float[Tensor, "time batch symbols"]:
        """Answer with the twin, if it was told; with the mark that stands there; or with all."""
        where, when, symbols = told(inputs)
        inside = where % self._string
        now = torch.arange(self.length, device=where.device).unsqueeze(1)
        first, second = self._is_saved(inside)
        twin = where + self._apart * (first.long() - second.long())
        known = (first | second) & (when.gather(0, twin) < now)
        marks = self._marks(inside)
        one = torch.where(known, symbols.gather(0, twin), marks.clamp(min=0))
        sure = torch.nn.functional.one_hot(one, self._symbols)
        free = torch.arange(self._symbols, device=where.device) < self.alphabet
        certain = (known | (marks >= 0)).unsqueeze(2)
        return torch.where(certain, sure, free / self.alphabet).log()

    def entropy(self) -> float:
        """Return the bits of a sequence, for whoever knows the law."""
        return self.repeats * (self.saved + self.random) * math.log2(self.alphabet)

    @property
    def _string(self) -> int:
        """Symbols of one string."""
        return 2 * (self.saved + 2) + self.random + 1

    @property
    def _apart(self) -> int:
        """Places from a saved symbol to its twin."""
        return self.saved + 2 + self.random

    @property
    def _symbols(self) -> int:
        return self.alphabet + len(MARKS)

    @property
    def _glyphs(self) -> tuple[str, ...]:
        return (*map(str, range(self.alphabet)), *MARKS)

    def _is_saved(
        self, inside: Int[Tensor, "*any"]
    ) -> tuple[Bool[Tensor, "*any"], Bool[Tensor, "*any"]]:
        """Tell whether these places of a string are in the first brackets, and in the second."""
        second = inside - self._apart
        return (inside >= 1) & (inside <= self.saved), (second >= 1) & (second <= self.saved)

    def _marks(self, inside: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
        """Return the mark that stands at these places of a string; -1 for none."""
        opening = (inside == 0) | (inside == self._apart)
        closing = (inside == self.saved + 1) | (inside == self._apart + self.saved + 1)
        marks = torch.where(opening, self.alphabet, -1)
        marks = torch.where(closing, self.alphabet + 1, marks)
        return torch.where(inside == self._string - 1, self.alphabet + 2, marks)

    def _nats(self) -> Float[Tensor, "length"]:
        """Return the nats of each step: the same in every sequence."""
        when = turns(self.order, self.length)
        nats = [
            0.0 if self._is_known(place, when) else math.log(self.alphabet)
            for place in places(self.order, self.length)
        ]
        return torch.tensor(nats, dtype=torch.float64, device="cpu")

    def _is_known(self, place: int, when: tuple[int, ...]) -> bool:
        """Tell whether a place holds a mark, or the twin of what was told before."""
        inside = place % self._string
        twins = (place + self._apart, place - self._apart)
        if 1 <= inside <= self.saved:
            return when[twins[0]] < when[place]
        if 1 <= inside - self._apart <= self.saved:
            return when[twins[1]] < when[place]
        return not self.saved + 1 < inside < self._apart

    def _shared(self, one: int, other: int) -> float:
        """Return what the symbols at two places tell of each other: all, if they are twins."""
        first, last = sorted((one, other))
        twins = last - first == self._apart and 1 <= first % self._string <= self.saved
        return math.log2(self.alphabet) if twins else 0.0
