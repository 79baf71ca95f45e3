"""Composition: a key is two ids, and neither tells the value alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import different, letters
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Composition(Generator):
    """Show a value for every pair of a first and a second id; ask for the values of some pairs.

    With firsts=2, seconds=2, values=5, asks=2, sequence 0 of the training stream:

        input   b B 0 a B 0 b A 2 a A 3 a A b B
        target  - - - - - - - - - - - - - 3 - 0

    All pairs are shown, in any order, each with a value. Then `asks` different pairs are shown
    once more, in any order, and the value is asked at the second id. Ids: the firsts (letters),
    the seconds (capitals), then the values; a class is the number of a value. The loss looks
    where the metric does: the other steps show random ids, and there is nothing to learn there.

    Source: none; this form is our own, after the single keys of Arora et al. 2023,
    arXiv:2312.04927.
    Differs from it: keys are two ids, and values may be equal.

    Attributes:
        firsts: Distinct first ids of a pair.
        seconds: Distinct second ids of a pair.
        values: Distinct values.
        asks: Pairs that are asked, from 1 to all.
    """

    firsts: int
    seconds: int
    values: int
    asks: int

    def __post_init__(self) -> None:
        whole("firsts", self.firsts, low=2)
        whole("seconds", self.seconds, low=2)
        whole("values", self.values, low=2)
        whole_up_to("asks", self.asks, low=1, high=self._pairs, of="firsts*seconds")

    @property
    def reads(self) -> Reads:
        capitals = (name.upper() for name in letters(self.seconds))
        size = self._first_value + self.values
        return Tokens(size, (*letters(self.firsts), *capitals, *self._names))

    @property
    def answers(self) -> Answers:
        return Tokens(self.values, self._names)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        order = stream.choose("order", index, self._pairs, out_of=self._pairs)
        asked = different(stream, "asked", index, self.asks, out_of=self._pairs)
        of_pair = stream.integers("values", index, self._pairs, below=self.values)
        values = of_pair.gather(0, order) + self._first_value
        shown = torch.stack([*self._ids(order), values], dim=1).flatten(0, 1)
        questions = torch.stack(self._ids(asked), dim=1).flatten(0, 1)
        inputs = torch.cat([shown, questions])
        targets = torch.zeros_like(inputs)
        targets[len(shown) + 1 :: 2] = of_pair.gather(0, asked)
        step = torch.arange(len(inputs), device=index.device).unsqueeze(1) - len(shown)
        scored = ((step >= 0) & (step % 2 == 1)).expand_as(inputs)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / self.values

    def controls(self) -> Mapping[str, float]:
        """Know one half of the key, and take any of the values shown with it."""
        lucky = 1 / self.values
        return {
            "any value of this first": lucky + (1 - lucky) / self.seconds,
            "any value of this second": lucky + (1 - lucky) / self.firsts,
        }

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Compare both ids of each question with those of every pair shown."""
        shown, questions = inputs.tensor_split([3 * self._pairs])
        alike = (shown[::3].unsqueeze(1) == questions[::2]) & (
            shown[1::3].unsqueeze(1) == questions[1::2]
        )
        place = alike.int().argmax(dim=0)
        targets = torch.zeros_like(inputs)
        targets[len(shown) + 1 :: 2] = shown[2::3].gather(0, place) - self._first_value
        return targets

    @property
    def _pairs(self) -> int:
        return self.firsts * self.seconds

    @property
    def _first_value(self) -> int:
        return self.firsts + self.seconds

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.values)))

    def _ids(
        self, pair: Int[Tensor, "count batch"]
    ) -> tuple[Int[Tensor, "count batch"], Int[Tensor, "count batch"]]:
        """Return the first and the second id of numbered pairs."""
        return pair // self.seconds, pair % self.seconds + self.firsts
