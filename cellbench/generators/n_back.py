"""n-back: at every step, tell whether the symbol is that of so many steps ago."""

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

ANSWERS = "ny"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NBack(Generator):
    """Show symbols, and ask at every step whether it was shown `lag` steps before.

    With length=9, lag=3, alphabet=4, sequence 0 of the training stream:

        input   3 0 2 0 1 0 0 1 2
        target  - - - n n n y y n

    `y` is yes, `n` no. A fair coin says whether a symbol is that of `lag` steps before, or
    any other one; so each symbol is as likely as each other, and one half of the answers is
    right without memory. The first `lag` steps have no answer, and no loss.

    Source: the n-back test of working memory, Kirchner 1958, as we define it.
    Differs from it: half of all symbols match, where tests on people have fewer matches; and
    near misses (a match at another lag) come as chance will have it.

    Attributes:
        length: Steps of the sequence.
        lag: How far back to compare; below `length`.
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
        return Tokens(2, ANSWERS)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        same = stream.integers("matches", index, self.length, below=2)
        other = stream.integers("others", index, self.length, below=self.alphabet - 1) + 1
        same[: self.lag] = 0
        rows = -(-self.length // self.lag)
        changes = index.new_zeros((rows * self.lag, len(index)))
        changes[: self.length] = other * (1 - same)
        changes[: self.lag] = stream.integers("symbols", index, self.lag, below=self.alphabet)
        shown = changes.view(rows, self.lag, len(index)).cumsum(dim=0) % self.alphabet
        inputs = shown.view(rows * self.lag, len(index))[: self.length]
        step = torch.arange(self.length, device=index.device).unsqueeze(1)
        scored = (step >= self.lag).expand(self.length, len(index))
        return Batch(inputs, same, scored, scored)

    def trivial(self) -> float:
        return 0.5

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Compare each symbol with that of `lag` steps before."""
        answers = torch.zeros_like(inputs)
        answers[self.lag :] = inputs[self.lag :] == inputs[: -self.lag]
        return answers

    def at_length(self, length: int) -> NBack:
        """Return it with more steps, and the same lag."""
        return dataclasses.replace(self, length=length)
