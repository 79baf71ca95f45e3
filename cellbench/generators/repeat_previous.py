"""Repeat previous: at every step, write what was shown so many steps ago."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_between


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatPrevious(Generator):
    """Show symbols, and ask at every step for the one of `lag` steps before.

    With length=9, lag=3, alphabet=4, sequence 0 of the training stream:

        input   3 0 2 1 0 1 1 1 2
        target  - - - 3 0 2 1 0 1

    Symbols are drawn with equal odds. The first `lag` steps have no answer, and no loss.

    Source: the discrete delay line; with four suits of cards, Morad et al. 2023,
    arXiv:2303.01859 (POPGym, RepeatPrevious).
    Differs from it: symbols are drawn with replacement, where cards come from a deck, so
    that counting what is gone helps nobody.

    Attributes:
        length: Steps of the sequence.
        lag: Steps from a symbol to its answer; below `length`.
        alphabet: Distinct symbols.
    """

    length: int
    lag: int
    alphabet: int

    def __post_init__(self) -> None:
        whole("length", self.length, low=2)
        whole_between("lag", self.lag, low=1, high=self.length - 1)
        whole("alphabet", self.alphabet, low=2)

    @property
    def reads(self) -> Reads:
        return Tokens(self.alphabet)

    @property
    def answers(self) -> Answers:
        return Tokens(self.alphabet)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        shown = stream.integers("symbols", index, self.length, below=self.alphabet)
        targets = torch.zeros_like(shown)
        targets[self.lag :] = shown[: -self.lag]
        step = torch.arange(self.length, device=index.device).unsqueeze(1)
        scored = (step >= self.lag).expand(self.length, len(index))
        return Batch(shown, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Turn the sequence round by the lag, and blank what came in at the start."""
        step = torch.arange(len(inputs), device=inputs.device).unsqueeze(1)
        return torch.where(step < self.lag, 0, inputs.roll(self.lag, 0))

    def at_length(self, length: int) -> RepeatPrevious:
        """Return it with more steps, and the same lag."""
        return dataclasses.replace(self, length=length)
