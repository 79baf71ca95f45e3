"""Associative recall: key-value pairs, then one key, and its value is asked."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import (
    LOSSES,
    SHARE_BITS,
    different,
    distinct,
    letters,
    one_of,
    one_over_distinct,
)
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole, whole_up_to

MARKERS: Mapping[str, int] = MappingProxyType({"safari": 1, "ba": 2})
"""Layout -> how many markers stand before the key that is asked."""

REPEATS = ("never", "same", "latest")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SingleRecall(Generator):
    """Show keys, each followed by its value; then one of these keys, and ask for its value.

    With pairs=3, keys=26, values=10, repeats=never, layout=ba, loss=answer,
    sequence 0 of the training stream:

        input   d 6 z 1 a 5 ? ? a
        target  - - - - - - - - 5

    With pairs=4, keys=3, values=5, repeats=latest, layout=safari, loss=answer,
    sequence 0 of the training stream:

        input   a 3 a 0 a 2 c 0 ? a
        target  - - - - - - - - - 2

    Ids: first the keys, then the values, then the marker (`?`). The key that is asked is one of
    those shown, all of them alike, however often each was shown.

    Source: Ba et al. 2016, arXiv:1610.06258 (layout ba); Fu et al. 2022, arXiv:2212.14052
    (layout safari).
    Differs from it: in layout ba keys come without replacement and values with, as we define it.
    In layout safari, ids that are never shown are left out. repeats=latest is ours. loss=all
    asks for the next id at the other steps.

    Attributes:
        pairs: Keys shown, with a value each.
        keys: Distinct keys.
        values: Distinct values.
        repeats: `never`, all keys shown are different; `same`, a key may come again, with its
            value; `latest`, it may come again with another value, and the latest counts.
        layout: safari, one marker before the key that is asked; ba, two.
        loss: Where the loss looks: `answer`, the last step; or `all` steps.
    """

    pairs: int
    keys: int
    values: int
    repeats: str
    layout: str
    loss: str

    def __post_init__(self) -> None:
        whole("keys", self.keys, low=2)
        whole("values", self.values, low=2)
        choice("repeats", self.repeats, REPEATS)
        if self.repeats == "never":
            whole_up_to("pairs", self.pairs, low=1, high=self.keys, of="keys")
        whole("pairs", self.pairs, low=1)
        choice("layout", self.layout, tuple(MARKERS))
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return self._tokens

    @property
    def answers(self) -> Answers:
        return self._tokens

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        keys, values = self._keys(stream, index), self._values(stream, index)
        if self.repeats == "same":
            values = values.gather(0, keys)
        latest = index.new_full((self.keys, len(index)), -1)  # place of each key
        places = torch.arange(self.pairs, device=index.device).unsqueeze(1).expand_as(keys)
        latest.scatter_reduce_(0, keys, places, "amax")
        draw = stream.integers("asked", index, 1, below=2**SHARE_BITS)
        asked = one_of(latest >= 0, draw[0]).unsqueeze(0)
        answer = values.gather(0, latest.gather(0, asked))
        markers = index.new_full((MARKERS[self.layout], len(index)), self.keys + self.values)
        shown = torch.stack([keys, values], dim=1).flatten(0, 1)
        inputs = torch.cat([shown, markers, asked])
        targets = torch.cat([inputs[1:], answer])
        step = torch.arange(len(inputs), device=index.device).unsqueeze(1)
        scored = (step == len(inputs) - 1).expand_as(inputs)
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        return Batch(inputs, targets, scored, trained)

    def trivial(self) -> float:
        return 1 / self.values

    def controls(self) -> Mapping[str, float]:
        """Know which values were shown, and guess one of them, all alike."""
        if self.repeats != "same":
            return {"any value shown": float(one_over_distinct(self.pairs, self.values))}
        shown = enumerate(distinct(self.pairs, self.keys))
        mean = sum(
            (chance * one_over_distinct(keys, self.values) for keys, chance in shown), Fraction(0)
        )
        return {"any value shown": float(mean)}

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Compare the last key with every key shown, and take what follows the latest equal."""
        keys, values = inputs[: 2 * self.pairs : 2], inputs[1 : 2 * self.pairs : 2]
        places = torch.arange(self.pairs, device=inputs.device).unsqueeze(1)
        latest = places.where(keys == inputs[-1], 0).amax(dim=0, keepdim=True)
        return torch.cat([inputs[1:], values.gather(0, latest)])

    @property
    def _tokens(self) -> Tokens:
        few = self.values <= len(string.digits)
        values = (str(value) if few else f"v{value}" for value in range(self.values))
        return Tokens(self.keys + self.values + 1, (*letters(self.keys), *values, "?"))

    def _keys(self, stream: Stream, index: Int[Tensor, "batch"]) -> Int[Tensor, "pairs batch"]:
        if self.repeats == "never":
            return different(stream, "keys", index, self.pairs, out_of=self.keys)
        return stream.integers("keys", index, self.pairs, below=self.keys)

    def _values(self, stream: Stream, index: Int[Tensor, "batch"]) -> Int[Tensor, "count batch"]:
        """Return a value of each pair, or where it is always the same, of each key."""
        count = self.keys if self.repeats == "same" else self.pairs
        return stream.integers("values", index, count, below=self.values) + self.keys
