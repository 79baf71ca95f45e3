"""Priority sort: vectors with priorities, and the first of them in order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Bits, Generator, Reads, Vectors
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PrioritySort(Generator):
    """Show vectors of bits with a priority each, and ask for the foremost ones in order.

    With items=4, top=3, width=2, sequence 5 of the training stream:

        input 0      1    0    1    0    0    0    0
        input 1      1    1    1    1    0    0    0
        input 2   -.23 -.32 -.14  .95  .00  .00  .00
        input 3      0    0    0    0    1    1    1
        target 0     -    -    -    -    0    1    1
        target 1     -    -    -    -    1    1    1

    The first features are the bits; then the priority, uniform in [-1, 1); then 1 where an
    answer is wanted. The vector of the highest priority is asked first, right after the last
    one is shown.

    Source: Graves et al. 2014, arXiv:1410.5401.
    Differs from it: the last feature, which says that answers are wanted. Priorities are
    multiples of 2**-23; of two that are equal the earlier one is the higher. Only answers are
    learned, as there.

    Attributes:
        items: Vectors that are shown.
        top: Vectors that are asked for; at most as many.
        width: Bits of a vector.
    """

    items: int
    top: int
    width: int

    def __post_init__(self) -> None:
        whole("items", self.items, low=2)
        whole_up_to("top", self.top, low=1, high=self.items, of="items")
        whole("width", self.width, low=1)

    @property
    def reads(self) -> Reads:
        return Vectors(self.width + 2)

    @property
    def answers(self) -> Answers:
        return Bits(self.width)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        count = self.items * self.width
        drawn = stream.integers("bits", index, count, below=2).float()
        bits = drawn.view(self.items, self.width, len(index)).transpose(1, 2)
        priority = stream.uniform("priorities", index, self.items) * 2 - 1
        order = priority.argsort(dim=0, descending=True, stable=True)[: self.top]
        answer = bits.gather(0, order.unsqueeze(2).expand(-1, -1, self.width))
        time = self.items + self.top
        inputs = bits.new_zeros((time, len(index), self.width + 2))
        inputs[: self.items, :, : self.width] = bits
        inputs[: self.items, :, self.width] = priority
        inputs[self.items :, :, -1] = 1.0
        targets = torch.cat([torch.zeros_like(bits), answer])
        scored = (steps(time, index) >= self.items).expand(time, len(index))
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 0.5

    def controls(self) -> Mapping[str, float]:
        """Return what is right of whoever knows the vectors, and no priority.

        It does best to say, for each bit, what most of the vectors have.
        """
        n = self.items
        most = sum(math.comb(n, ones) * max(ones, n - ones) for ones in range(n + 1))
        return {"vectors without their order": most / n / 2**n}

    def oracle(
        self, inputs: Float[Tensor, "time batch features"]
    ) -> Float[Tensor, "time batch width"]:
        """Count for each vector those that go before it."""
        bits = inputs[: self.items, :, : self.width]
        priority = inputs[: self.items, :, self.width]
        place = steps(self.items, inputs)
        mine, other = priority.unsqueeze(1), priority.unsqueeze(0)
        earlier = (place > place.T).unsqueeze(2)
        rank = ((other > mine) | ((other == mine) & earlier)).sum(dim=1)
        ordered = torch.zeros_like(bits)
        ordered.scatter_(0, rank.unsqueeze(2).expand_as(bits), bits)
        return torch.cat([torch.zeros_like(bits), ordered[: self.top]])

    def at_length(self, length: int) -> PrioritySort:
        """Return the task with so many vectors, of which the same share is asked."""
        top = max(1, length * self.top // self.items) if length > 0 else 1
        return replace(self, items=length, top=top)
