"""Adding: sum the two marked numbers of a long sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Vectors
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole

POSITIONS = ("halves", "any")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Adding(Generator):
    """Show numbers, two of them marked, and ask for the sum of those two.

    With length=6, positions=halves, time from left to right:

        input 0: number    .25 .75 .50 .50 .25 .00
        input 1: mark       0   1   0   0   1   0
        target              -   -   -   -   -  1.00     `-` is not scored

    Numbers are uniform in [0, 1). Whoever ignores the input does best to answer 1, the
    mean, and errs by the variance of the sum, 2/12.

    Source: Hochreiter & Schmidhuber 1997; this form, Le et al. 2015, arXiv:1504.00941,
    and Arjovsky et al. 2016, arXiv:1511.06464. positions=any: Bai et al. 2018,
    arXiv:1803.01271.
    Differs from it: numbers are multiples of 2**-24. Sequences are fresh, where some of
    the sources repeat a fixed set.

    Attributes:
        length: Steps of the sequence.
        positions: Where the marks are: `halves`, one in each half (the second half is the
            longer one of an odd length); `any`, two different steps anywhere, so that the
            lag may be as short as 1.
    """

    length: int
    positions: str

    def __post_init__(self) -> None:
        whole("length", self.length, low=2)
        choice("positions", self.positions, POSITIONS)

    @property
    def reads(self) -> Reads:
        return Vectors(2)

    @property
    def answers(self) -> Answers:
        return Vectors(1)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        numbers = stream.uniform("numbers", index, self.length)
        marked = self._marked(stream, index)
        marks = torch.zeros_like(numbers).scatter_(0, marked, 1.0)
        first, second = numbers.gather(0, marked)
        targets = numbers.new_zeros((self.length, len(index), 1))
        targets[-1, :, 0] = first + second
        step = torch.arange(self.length, device=index.device).unsqueeze(1)
        scored = (step == self.length - 1).expand(self.length, len(index))
        return Batch(torch.stack([numbers, marks], dim=2), targets, scored, scored)

    def trivial(self) -> float:
        return 1 / 6

    def oracle(self, inputs: Float[Tensor, "time batch 2"]) -> Float[Tensor, "time batch 1"]:
        """Add what is marked; exact, since all but two terms are zero."""
        numbers, marks = inputs.unbind(dim=2)
        targets = torch.zeros_like(inputs[:, :, :1])
        targets[-1, :, 0] = (numbers * marks).sum(dim=0)
        return targets

    def _marked(self, stream: Stream, index: Int[Tensor, "batch"]) -> Int[Tensor, "2 batch"]:
        """Return the two marked steps of each sequence."""
        half = self.length // 2
        if self.positions == "halves":
            first, second = stream.integers("marks", index, 2, below=(half, self.length - half))
            return torch.stack([first, second + half])
        first, second = stream.integers("marks", index, 2, below=(self.length, self.length - 1))
        return torch.stack([first, second + (second >= first)])  # steps over the first mark
