"""Denoising: hold the few marked numbers of a long noise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Vectors
from cellbench.generators.gaussian import normals, variance
from cellbench.generators.places import rising_places
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_between

NOISE, MARKED, ASKED = -1.0, 0.0, 1.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Denoising(Generator):
    """Show normal numbers, some of them marked, and ask for the marked ones in their order.

    With items=2, length=6, gap=2, sequence 0 of the training stream:

        input 0    -.77 -1.13  1.44  -.28   .47 -1.02   .00
        input 1      -1     0    -1     0    -1    -1     1
        target 0      -     -     -     -     -     - -1.13
        target 1      -     -     -     -     -     -  -.28

    Input 1 says what input 0 is: -1 noise, 0 a number to hold, 1 the question, which comes
    after `length` numbers. All answers are one vector, given at once. The last `gap` numbers
    are noise. Who ignores the input does best to answer 0, and errs by the variance, 1 (to
    within 1e-6).

    Source: Vecoven et al. 2021, arXiv:2006.05252, benchmark 2.
    Differs from it: numbers are looked up among the middles of 2**16 equal shares of the
    normal distribution, scaled to variance 1, in multiples of 2**-20; so none is beyond 4.3.
    Sequences are fresh, where the source repeats a fixed set. There is one answer, at the
    end, and so nothing else that a loss could look at.

    Attributes:
        items: Marked numbers, at different steps.
        length: Numbers shown.
        gap: Steps at the end of these that are never marked; at most `length - items`.
    """

    items: int
    length: int
    gap: int

    def __post_init__(self) -> None:
        whole("items", self.items, low=1)
        whole("length", self.length, low=self.items)
        whole_between("gap", self.gap, low=0, high=self.length - self.items)

    @property
    def reads(self) -> Reads:
        return Vectors(2)

    @property
    def answers(self) -> Answers:
        return Vectors(self.items)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        numbers = normals(stream, "numbers", index, self.length)
        places = rising_places(stream, "marks", index, self.items, out_of=self.length - self.gap)
        inputs = numbers.new_zeros((self.length + 1, len(index), 2))
        inputs[:-1, :, 0] = numbers
        inputs[:-1, :, 1] = torch.full_like(numbers, NOISE).scatter_(0, places, MARKED)
        inputs[-1, :, 1] = ASKED
        targets = numbers.new_zeros((self.length + 1, len(index), self.items))
        targets[-1] = numbers.gather(0, places).T
        step = torch.arange(self.length + 1, device=index.device).unsqueeze(1)
        scored = (step == self.length).expand(-1, len(index))
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return variance()

    def oracle(self, inputs: Float[Tensor, "time batch 2"]) -> Float[Tensor, "time batch items"]:
        """Count the marks as they come; a number's sum has one term that is not zero."""
        numbers, marks = inputs.unbind(dim=2)
        marked = marks == MARKED
        which = torch.where(marked, marked.cumsum(dim=0), 0)
        item = torch.arange(1, self.items + 1, device=inputs.device)
        held = torch.where(which.unsqueeze(2) == item, numbers.unsqueeze(2), 0.0).sum(dim=0)
        return torch.where((marks == ASKED).unsqueeze(2), held, 0.0)

    def at_length(self, length: int) -> Denoising:
        return dataclasses.replace(self, length=length)
