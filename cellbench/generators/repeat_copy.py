"""Repeat copy: write what was shown as often as told, and say when it is done."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Bits, Generator, Reads, Vectors
from cellbench.generators.bits import MOST_BITS, picked, unpacked
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole, whole_between

LAYOUTS = ("ntm", "dnc")
LONGER = ("vectors", "repeats")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatCopy(Generator):
    """Show vectors of bits and a number, and ask for the vectors that many times, then an end.

    With bits=2, longest=2, most=3, counted_to=3, layout=ntm, longer=vectors, sequence 8 of the
    training stream:

        input 0   1 1 0 0 0 0 0 0 0 0
        input 1   0 0 0 0 0 0 0 0 0 0
        input 2   0 0 1 0 0 0 0 0 0 0
        input 3   0 0 0 0 0 0 0 0 0 0
        target 0  - - - 1 1 1 1 0 - -
        target 1  - - - 0 0 0 0 0 - -
        target 2  - - - 0 0 0 0 1 - -

    With bits=2, longest=2, most=3, counted_to=3, layout=dnc, longer=vectors, sequence 0 of the
    training stream:

        input 0     0   0   1   0   0   0   0   0   0   0   0
        input 1     0   1   0   0   0   0   0   0   0   0   0
        input 2     1   0   0   0   0   0   0   0   0   0   0
        input 3   .00 .00 .00 .33 .00 .00 .00 .00 .00 .00 .00
        target 0    -   -   -   -   0   1   0   -   -   -   -
        target 1    -   -   -   -   1   0   0   -   -   -   -
        target 2    -   -   -   -   0   0   1   -   -   -   -

    One column is one step, one row one channel. Inputs: `bits` channels of fair bits, the
    marker, and the number. Targets: the bits, and the end. From 1 to `longest` vectors and
    from 1 to `most` repeats are drawn for every sequence; what is shorter than the longest
    ends in zeros.

        layout ntm    the marker ends the vectors, and the number stands beside it, less its
                      mean, divided by its deviation: those of 1 to `counted_to`
        layout dnc    the marker starts the sequence; the number, divided by `counted_to`,
                      stands after the vectors

    So `counted_to` is what the number was in training, and stays when more repeats are asked
    in a test. Who sees no input knows the end channel from the step, mostly, and that after
    the end comes nothing: `trivial` counts this.

    Source: Graves et al. 2014, arXiv:1410.5401. layout=dnc: the repository of Graves et al.
    2016, "Hybrid computing using a neural network with dynamic external memory".
    Differs from it: with layout=ntm, a marker beside the number, as a number that is the
    mean would not be seen. Scored is the share of bits that are right, the end included.
    The loss looks where the metric does.

    Attributes:
        bits: Channels of bits, from 1 to 16.
        longest: Most vectors.
        most: Most repeats.
        counted_to: Most repeats in training: what the number is measured by; at least 2.
        layout: ntm or dnc.
        longer: What the length is, when tested at another: `vectors` or `repeats`.
    """

    bits: int
    longest: int
    most: int
    counted_to: int
    layout: str
    longer: str

    def __post_init__(self) -> None:
        whole_between("bits", self.bits, low=1, high=MOST_BITS)
        whole("longest", self.longest, low=1)
        whole("most", self.most, low=1)
        whole("counted_to", self.counted_to, low=2)
        choice("layout", self.layout, LAYOUTS)
        choice("longer", self.longer, LONGER)

    @property
    def reads(self) -> Reads:
        return Vectors(self.bits + 2)

    @property
    def answers(self) -> Answers:
        return Bits(self.bits + 1)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        drawn = stream.integers("vectors", index, self.longest, below=2**self.bits)
        lengths = stream.integers("vectors shown", index, 1, below=self.longest) + 1
        repeats = stream.integers("repeats", index, 1, below=self.most) + 1
        time = self._lead + self.longest * (self.most + 1) + 2
        step = torch.arange(time, device=index.device).unsqueeze(1) - self._lead
        shown = self._at(drawn, step) * ((step >= 0) & (step < lengths))
        place = step - lengths - 1
        end = place == lengths * repeats
        scored = (place >= 0) & (place <= lengths * repeats)
        asked = self._at(drawn, place % lengths) * (scored & ~end)
        marked = (step == -1) if self._lead else (place == -1)
        number = torch.where(place == -1, self._numbers(index.device)[repeats], 0.0)
        flags = torch.stack([marked.expand_as(end).float(), number], dim=2)
        inputs = torch.cat([unpacked(shown, self.bits), flags], dim=2)
        targets = torch.cat([unpacked(asked, self.bits), end.float().unsqueeze(2)], dim=2)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        """Sum over numbers of vectors, and places in the answer, what is right at best."""
        right = asked = Fraction(0)
        for length in range(1, self.longest + 1):
            for place in range(length * self.most + 1):
                ends = Fraction(place > 0 and place % length == 0)
                going = self.most - max(-(-place // length), 1) + 1  # numbers that reach here
                end = ends / going
                asked += going * (self.bits + 1)
                right += going * (self.bits * (1 + end) / 2 + max(end, 1 - end))
        return float(right / asked)

    def oracle(
        self, inputs: Float[Tensor, "time batch channels"]
    ) -> Float[Tensor, "time batch bits"]:
        """Read the number, which ends the vectors, and count down from it."""
        marker, number = inputs[:, :, -2], inputs[:, :, -1]
        told = (number if self._lead else marker) > 0
        at = told.byte().argmax(dim=0)
        mean, deviation = self._measure
        spoken = number.gather(0, at.unsqueeze(0)) * deviation + mean
        lengths = (at - self._lead).clamp(min=1)
        place = torch.arange(len(inputs), device=inputs.device).unsqueeze(1) - at - 1
        left = spoken.round().long() * lengths - place
        answering = (place >= 0) & (left > 0) & told.any(dim=0)
        recalled = picked(inputs[:, :, :-2], place.clamp(min=0) % lengths + self._lead)
        end = ((left == 0) & told.any(dim=0)).float().unsqueeze(2)
        return torch.cat([torch.where(answering.unsqueeze(2), recalled, 0.0), end], dim=2)

    def at_length(self, length: int) -> RepeatCopy:
        """Return it with up to `length` vectors, or repeats; the number is written as before."""
        if self.longer == "repeats":
            return dataclasses.replace(self, most=length)
        return dataclasses.replace(self, longest=length)

    def _at(
        self, drawn: Int[Tensor, "longest batch"], place: Int[Tensor, "time _"]
    ) -> Int[Tensor, "time batch"]:
        return drawn.gather(0, place.clamp(0, self.longest - 1).expand(-1, drawn.shape[1]))

    def _numbers(self, device: torch.device) -> Float[Tensor, "numbers"]:
        """Return how each number of repeats is written."""
        mean, deviation = self._measure
        numbers = torch.arange(self.most + 1, dtype=torch.float64)
        return numbers.sub(mean).div(deviation).float().to(device)

    @property
    def _lead(self) -> int:
        """Steps before the first vector."""
        return int(self.layout == "dnc")

    @property
    def _measure(self) -> tuple[float, float]:
        """What a number is lessened by, and divided by."""
        if self.layout == "dnc":
            return 0.0, float(self.counted_to)
        return (self.counted_to + 1) / 2, math.sqrt((self.counted_to**2 - 1) / 12)
