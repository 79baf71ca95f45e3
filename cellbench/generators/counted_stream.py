"""Counted stream: some a, a newline, as many b, a newline; asked in any order."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Odds, Reads
from cellbench.generators.known_odds import (
    asked,
    asked_fields,
    bits_of,
    constant,
    without_memory,
)
from cellbench.generators.ordering import places
from cellbench.generators.stream import Stream
from cellbench.options import whole_up_to

A, B, NEWLINE, BLANK = range(4)
GLYPHS = ("a", "b", "/", ".")
MOST = 1024


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CountedStream(Generator):
    """Ask for some a, a newline, as many b, and a newline.

    With most=4, order=forward, sequence 5 of the training stream:

        input 0     ~    a    a    /    b    b    /    .    .    .
        input 1     0    1    2    3    4    5    6    7    8    9
        target      a    a    /    b    b    /    .    .    .    .
        bits      .00  .42 1.58  .00  .00  .00  .00  .00  .00  .00

    `/` is the newline; how many a is uniform from 1 to `most`, and all that is not known; after
    the second newline come blanks, to the length of the longest, 2 * most + 2. The inputs are
    the symbol that was asked for last (`~` for none yet) and the place that is asked for now.
    In the order forward, all that is to be learned comes with the first newline, and every b
    must be counted from there; in another order the number is narrowed down place by place.

    Source: the counter language of Gers & Schmidhuber 2001, "LSTM Recurrent Networks Learn
    Simple Context-Free and Context-Sensitive Languages", with newlines, as we define it.
    Differs from it: a sequence is one string and its blanks, so that it can be asked for in any
    order, where in a stream string follows on string; bits are counted, where there the legal
    symbols were asked for.

    Attributes:
        most: The largest number of a, at most 1024.
        order: In which places are asked for: forward, reverse, stride(k), block(k),
            bit_reversed, or random (one for ever).
    """

    most: int
    order: str

    def __post_init__(self) -> None:
        whole_up_to("most", self.most, low=2, high=MOST, of="the most that are held in a table")
        places(self.order, self.length)

    @property
    def length(self) -> int:
        """Symbols of a sequence, blanks among them."""
        return 2 * self.most + 2

    @property
    def reads(self) -> Reads:
        return asked_fields(len(GLYPHS), self.length, GLYPHS)

    @property
    def answers(self) -> Answers:
        return Odds(len(GLYPHS), GLYPHS)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        number = stream.integers("number", index, 1, below=self.most)[0]
        text = constant(_texts(self.most), number)[:, number]
        nats = constant(_nats(self.most, self.order), number)[:, number]
        return asked(text, self.order, len(GLYPHS), nats)

    def trivial(self) -> float:
        """Return the entropies of all places, each by itself, less that of the whole."""
        return sum(map(self._bits, range(self.length))) - self.entropy()

    def controls(self) -> Mapping[str, float]:
        return without_memory(self.trivial(), self.order, self.length, self._shared)

    def oracle(self, inputs: Int[Tensor, "time batch 2"]) -> Float[Tensor, "time batch 4"]:
        """Hold every string against all that was told, and count what those that fit say."""
        texts = constant(_texts(self.most), inputs)
        said = texts[inputs[:, :, 1]]  # [time, batch, string]
        fits = torch.ones_like(said)
        fits[1:] = (said[:-1] == inputs[1:, :, :1]).long().cumprod(0)
        counts = torch.stack([(fits * (said == one)).sum(2) for one in range(len(GLYPHS))], 2)
        return (counts.double() / counts.sum(2, keepdim=True)).log().float()

    def entropy(self) -> float:
        """Return the bits of a sequence, for whoever knows the law."""
        return math.log2(self.most)

    def _bits(self, *at: int) -> float:
        """Return the entropy of the symbols at these places together."""
        kinds = torch.zeros(self.most, dtype=torch.int64, device="cpu")
        for place in at:
            kinds = kinds * len(GLYPHS) + _texts(self.most)[place]
        shares = torch.unique(kinds, return_counts=True)[1].double() / self.most
        return float(bits_of(shares).sum())

    def _shared(self, one: int, other: int) -> float:
        """Return what the symbols at two places tell of each other."""
        return self._bits(one) + self._bits(other) - self._bits(one, other)


@functools.lru_cache(maxsize=32)
def _texts(most: int) -> Int[Tensor, "length strings"]:
    """Return every string, padded with blanks; its number is that of its a, less 1."""
    place = torch.arange(2 * most + 2, device="cpu").unsqueeze(1)
    number = torch.arange(1, most + 1, device="cpu")
    texts = torch.where(place <= 2 * number, B, BLANK)
    texts = torch.where(place < number, A, texts)
    return torch.where((place == number) | (place == 2 * number + 1), NEWLINE, texts)


@functools.lru_cache(maxsize=32)
def _nats(most: int, order: str) -> Float[Tensor, "length strings"]:
    """Return of every string the nats of each step: how much fewer strings still fit."""
    texts = _texts(most)
    kind = torch.zeros(most, dtype=torch.int64, device="cpu")
    fit = torch.full((most,), most, dtype=torch.int64, device="cpu")
    rows = []
    for place in places(order, len(texts)):
        kinds = kind * len(GLYPHS) + texts[place]
        _, kind, counts = torch.unique(kinds, return_inverse=True, return_counts=True)
        still = counts[kind]
        rows.append((fit / still).double().log())
        fit = still
    return torch.stack(rows)
