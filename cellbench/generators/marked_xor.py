"""Marked XOR: whether the two marked bits of a long sequence differ."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Fields, Generator, Reads, Tokens
from cellbench.generators.lengths import at_step, fair_bits, steps
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole

POSITIONS = ("halves", "any")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedXor(Generator):
    """Show bits, two of them marked, and ask whether those two differ.

    With length=10, positions=halves, sequence 9 of the training stream:

        input 0  1 0 1 0 0 0 1 1 0 1
        input 1  . . . x . . . x . .
        target   - - - - - - - - - 1

    Input 0 is the bit, input 1 the mark. Bits are fair. Class 1 is unlike: neither bit alone
    says anything about the answer, which is asked at the last step.

    Source: Martens & Sutskever 2011, "Learning Recurrent Neural Networks with Hessian-Free
    Optimization".
    Differs from it: as we define it: the marks stand where those of our adding problem do,
    and all sequences are equally long.

    Attributes:
        length: Steps of the sequence.
        positions: Where the marks are: `halves`, one in each half (the second half is the
            longer one of an odd length); `any`, two different steps anywhere.
    """

    length: int
    positions: str

    def __post_init__(self) -> None:
        whole("length", self.length, low=2)
        choice("positions", self.positions, POSITIONS)

    @property
    def reads(self) -> Reads:
        return Fields((2, 2), ("01", ".x"))

    @property
    def answers(self) -> Answers:
        return Tokens(2)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        bits = fair_bits(stream, "bits", index, self.length)
        marked = self._marked(stream, index)
        marks = torch.zeros_like(bits).scatter_(0, marked, 1)
        first, second = bits.gather(0, marked)
        scored = (steps(self.length, index) == self.length - 1).expand_as(bits)
        return Batch(
            torch.stack([bits, marks], dim=2), at_step(first ^ second, scored), scored, scored
        )

    def trivial(self) -> float:
        return 1 / 2

    def oracle(self, inputs: Int[Tensor, "time batch 2"]) -> Int[Tensor, "time batch"]:
        """Add what is marked: an odd sum is of unlike bits."""
        bits, marks = inputs.unbind(dim=2)
        asked = (steps(len(inputs), inputs) == len(inputs) - 1).expand_as(bits)
        return at_step((bits * marks).sum(dim=0) % 2, asked)

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, length=length)

    def _marked(self, stream: Stream, index: Int[Tensor, "batch"]) -> Int[Tensor, "2 batch"]:
        """Return the two marked steps of each sequence."""
        half = self.length // 2
        if self.positions == "halves":
            first, second = stream.integers("marks", index, 2, below=(half, self.length - half))
            return torch.stack([first, second + half])
        first, second = stream.integers("marks", index, 2, below=(self.length, self.length - 1))
        return torch.stack([first, second + (second >= first)])  # steps over the first mark
