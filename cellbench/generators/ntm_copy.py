"""NTM copy: read vectors of bits until told to stop, and write them all again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Bits, Generator, Reads, Vectors
from cellbench.generators.bits import MOST_BITS, picked, unpacked
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_between


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NtmCopy(Generator):
    """Show vectors of bits, then a delimiter, and ask for the vectors back.

    With bits=2, shortest=1, longest=4, sequence 3 of the training stream:

        input 0   1 0 1 0 0 0 0 0 0
        input 1   1 0 0 0 0 0 0 0 0
        input 2   0 0 0 1 0 0 0 0 0
        target 0  - - - - 1 0 1 - -
        target 1  - - - - 1 0 0 - -

    One column is one step, one row one channel: `bits` channels of fair bits, then the
    delimiter, alone at its step. How many vectors are shown is drawn for every sequence,
    from `shortest` to `longest`; what is shorter than the longest ends in zeros.

    Scored is the share of bits that are right, one half without memory. Papers print bit
    errors a sequence: of n vectors, (1 - accuracy) * bits * n.

    Source: Graves et al. 2014, arXiv:1410.5401.
    Differs from it: bits are scored by their share and not by their sum, so that lengths
    compare. The loss looks where the metric does: elsewhere nothing can be learned.

    Attributes:
        bits: Channels of bits, from 1 to 16.
        shortest: Fewest vectors.
        longest: Most vectors.
    """

    bits: int
    shortest: int
    longest: int

    def __post_init__(self) -> None:
        whole_between("bits", self.bits, low=1, high=MOST_BITS)
        whole("shortest", self.shortest, low=1)
        whole("longest", self.longest, low=self.shortest)

    @property
    def reads(self) -> Reads:
        return Vectors(self.bits + 1)

    @property
    def answers(self) -> Answers:
        return Bits(self.bits)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        drawn = stream.integers("vectors", index, self.longest, below=2**self.bits)
        lengths = stream.integers("length", index, 1, below=self.longest - self.shortest + 1)
        lengths += self.shortest
        step = torch.arange(2 * self.longest + 1, device=index.device).unsqueeze(1)
        words = index.new_zeros((len(step), len(index)))
        words[: self.longest] = drawn * (step[: self.longest] < lengths)
        place = step - lengths - 1
        scored = (place >= 0) & (place < lengths)
        asked = drawn.gather(0, place.clamp(0, self.longest - 1)) * scored
        delimiter = (place == -1).float().unsqueeze(2)
        inputs = torch.cat([unpacked(words, self.bits), delimiter], dim=2)
        return Batch(inputs, unpacked(asked, self.bits), scored, scored)

    def trivial(self) -> float:
        return 0.5

    def oracle(
        self, inputs: Float[Tensor, "time batch channels"]
    ) -> Float[Tensor, "time batch bits"]:
        """Answer after the delimiter, as many vectors as stood before it."""
        told = inputs[:, :, -1] > 0
        lengths = told.byte().argmax(dim=0)
        place = torch.arange(len(inputs), device=inputs.device).unsqueeze(1) - lengths - 1
        answering = (place >= 0) & (place < lengths) & told.any(dim=0)
        recalled = picked(inputs[:, :, :-1], place.clamp(0, len(inputs) - 1))
        return torch.where(answering.unsqueeze(2), recalled, 0.0)

    def at_length(self, length: int) -> NtmCopy:
        return dataclasses.replace(self, shortest=length, longest=length)
