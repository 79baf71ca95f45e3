"""Memory chain: show bits, wait, and ask for one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import whole

FIRST_QUESTION = 2  # after the bits 0 and 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryChain(Generator):
    """Show bits, then noise, and ask for one of the bits by its number.

    With bits=3, wait=4, sequence 0 of the training stream:

        input    1  1  1  0  0  0  0 ?1
        target   -  -  -  -  -  -  -  1

    Bits are fair, those to remember as well as the `wait` that follow and are noise. The last
    step names one of the first: `?1` is the first of them. Each is equally likely to be asked.

    Source: Osband et al. 2020, "Behaviour Suite for Reinforcement Learning",
    arXiv:1908.03568: its memory ladders (memory_len has one bit, and grows in length;
    memory_size grows in bits).
    Differs from it: there, an agent is rewarded for its last action; here, the answer is given
    to learn from. Bits come one a step, where they came all at once; noise is bits too, and no
    input tells the time. Nothing is asked, and nothing learned, before the end.

    Attributes:
        bits: To remember.
        wait: Steps of noise after them.
    """

    bits: int
    wait: int

    def __post_init__(self) -> None:
        whole("bits", self.bits, low=1)
        whole("wait", self.wait, low=0)

    @property
    def reads(self) -> Reads:
        questions = (f"?{place + 1}" for place in range(self.bits))
        return Tokens(FIRST_QUESTION + self.bits, ("0", "1", *questions))

    @property
    def answers(self) -> Answers:
        return Tokens(2, "01")

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        shown = stream.integers("bits", index, self.bits, below=2)
        noise = stream.integers("noise", index, self.wait, below=2)
        asked = stream.integers("question", index, 1, below=self.bits)
        ids = torch.cat([shown, noise, FIRST_QUESTION + asked])
        targets = torch.zeros_like(ids)
        targets[-1:] = shown.gather(0, asked)
        scored = (steps(len(ids), ids) == len(ids) - 1).expand_as(ids)
        return Batch(ids, targets, scored, scored)

    def trivial(self) -> float:
        return 0.5

    def controls(self) -> Mapping[str, float]:
        """Say what of several bits the commoner one is."""
        return {"how many ones there were": _majority(self.bits)} if self.bits > 1 else {}

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Go back from each question to the step it names."""
        place = (inputs - FIRST_QUESTION).clamp(0, len(inputs) - 1)
        return torch.where(inputs < FIRST_QUESTION, 0, inputs.gather(0, place))

    def at_length(self, length: int) -> MemoryChain:
        """Return the task with that wait."""
        return replace(self, wait=length)


def _majority(bits: int) -> float:
    """Return how large a share of fair bits the commoner value has, on average."""
    larger = sum(max(ones, bits - ones) * math.comb(bits, ones) for ones in range(bits + 1))
    return larger / (bits << bits)
