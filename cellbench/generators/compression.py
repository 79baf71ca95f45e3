"""Compression: a row of random tokens, and what stood where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import different
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Compression(Generator):
    """Show random tokens, then name places one a step, and ask what stood there.

    With length=5, alphabet=4, asks=3, sequence 0 of the training stream:

        input    2  2  3  1  2 @2 @3 @1
        target   -  -  -  -  -  3  1  2

    Tokens are independent and uniform. Then `asks` different places are named, in any order: `@0`
    is the first. Ids: first the tokens, then the places. The loss looks where the metric does:
    the other steps show random tokens, and there is nothing to learn from them.

    Source: Poli et al. 2024, arXiv:2403.17844.
    Differs from it: there, a perceptron of two layers decodes the last state, told a place by
    sines; here the cell itself answers, told a place by an id. So there is no decoder to compare.

    Attributes:
        length: Tokens shown.
        alphabet: Distinct tokens.
        asks: Places that are named, from 1 to all.
    """

    length: int
    alphabet: int
    asks: int

    def __post_init__(self) -> None:
        whole("length", self.length, low=1)
        whole("alphabet", self.alphabet, low=2)
        whole_up_to("asks", self.asks, low=1, high=self.length, of="length")

    @property
    def reads(self) -> Reads:
        names = (*map(str, range(self.alphabet)), *(f"@{place}" for place in range(self.length)))
        return Tokens(self.alphabet + self.length, names)

    @property
    def answers(self) -> Answers:
        return Tokens(self.alphabet)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        shown = stream.integers("tokens", index, self.length, below=self.alphabet)
        asked = different(stream, "places", index, self.asks, out_of=self.length)
        inputs = torch.cat([shown, asked + self.alphabet])
        targets = torch.cat([torch.zeros_like(shown), shown.gather(0, asked)])
        step = torch.arange(len(inputs), device=index.device).unsqueeze(1)
        scored = (step >= self.length).expand_as(inputs)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Compare every step's number with the place that is named."""
        step = torch.arange(len(inputs), device=inputs.device)[:, None, None]
        named = step == inputs - self.alphabet
        return (inputs.unsqueeze(1) * named).sum(dim=0)
