"""Memorisation: one map of keys to values, the same in all sequences, to be kept in weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to

_MAPS = 2**32 - 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Memorisation(Generator):
    """Show random keys, and ask after each for its value in a map that never changes.

    With keys=6, length=10, map=0, sequence 0 of the training stream:

        input   0 ? 0 ? 0 ? 4 ? 5 ?
        target  - 3 - 3 - 3 - 5 - 1

    Each key is followed by a question (`?`), and there its value is asked. The values are the
    keys' own numbers in another order, so that each is as frequent as any other. They are never
    shown: it is a task for weights, and what the state needs to hold is one key for one step.
    The loss looks where the metric does: a key cannot be foreseen.

    Source: Poli et al. 2024, arXiv:2403.17844.
    Differs from it: sequences are fresh, where there 256 of them are repeated; a key and the
    question are an id each, but values have none. The map is drawn from the training stream of
    the seed `map`, under a name of its own.

    Attributes:
        keys: Keys of the map; as many values.
        length: Steps of the sequence: a key and a question, in turns.
        map: Which map: its number.
    """

    keys: int
    length: int
    map: int

    def __post_init__(self) -> None:
        whole("keys", self.keys, low=2)
        whole("length", self.length, low=2)
        whole_up_to("map", self.map, low=0, high=_MAPS, of="2**32-1")

    @property
    def reads(self) -> Reads:
        return Tokens(self.keys + 1, (*map(str, range(self.keys)), "?"))

    @property
    def answers(self) -> Answers:
        return Tokens(self.keys)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        count = self.length // 2
        shown = stream.integers("keys", index, -(-self.length // 2), below=self.keys)
        inputs = index.new_full((self.length, len(index)), self.keys)
        inputs[::2] = shown
        targets = torch.zeros_like(inputs)
        targets[1::2] = self._values(index.device)[shown[:count]]
        step = torch.arange(self.length, device=index.device).unsqueeze(1)
        scored = (step % 2 == 1).expand_as(inputs)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / self.keys

    def at_length(self, length: int) -> Memorisation:
        return replace(self, length=length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Look up the latest key at every question; the map is known, as is that it is a map."""
        asks = inputs == self.keys
        before = torch.cat([torch.zeros_like(inputs[:1]), inputs[:-1]])
        values = self._values(inputs.device)
        chosen = torch.nn.functional.one_hot(before.where(asks, 0), self.keys)
        return (chosen * values).sum(dim=2).where(asks, 0)

    def _values(self, device: torch.device) -> Int[Tensor, "keys"]:
        """Return the value of each key."""
        first = torch.zeros(1, dtype=torch.int64, device=device)
        stream = Stream(self.map, "train")
        return stream.choose("the map", first, self.keys, out_of=self.keys).squeeze(1)
