"""Copy first: hold a number while others pass."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Vectors
from cellbench.generators.gaussian import normals, variance
from cellbench.generators.stream import Stream
from cellbench.options import whole


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFirst(Generator):
    """Show normal numbers, and ask for the first one at the end.

    With length=6, sequence 0 of the training stream:

        input    -.77 -1.13  1.44  -.28   .47 -1.02
        target      -     -     -     -     -  -.77

    Nothing marks the first number but that it comes first. Who ignores the input does best to
    answer 0, and errs by the variance, 1 (to within 1e-6).

    Source: Vecoven et al. 2021, arXiv:2006.05252, benchmark 1.
    Differs from it: numbers are looked up among the middles of 2**16 equal shares of the
    normal distribution, scaled to variance 1, in multiples of 2**-20; so none is beyond 4.3.
    Sequences are fresh, where the source repeats a fixed set. There is one answer, at the
    end, and so nothing else that a loss could look at.

    Attributes:
        length: Numbers shown.
    """

    length: int

    def __post_init__(self) -> None:
        whole("length", self.length, low=2)

    @property
    def reads(self) -> Reads:
        return Vectors(1)

    @property
    def answers(self) -> Answers:
        return Vectors(1)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        numbers = normals(stream, "numbers", index, self.length).unsqueeze(2)
        targets = torch.zeros_like(numbers)
        targets[-1] = numbers[0]
        step = torch.arange(self.length, device=index.device).unsqueeze(1)
        scored = (step == self.length - 1).expand(self.length, len(index))
        return Batch(numbers, targets, scored, scored)

    def trivial(self) -> float:
        return variance()

    def oracle(self, inputs: Float[Tensor, "time batch 1"]) -> Float[Tensor, "time batch 1"]:
        """Move every number to the other end, and keep the last."""
        last = torch.arange(len(inputs), device=inputs.device) == len(inputs) - 1
        return torch.where(last.view(-1, 1, 1), inputs.flip(0), 0.0)

    def at_length(self, length: int) -> CopyFirst:
        return dataclasses.replace(self, length=length)
