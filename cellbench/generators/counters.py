"""Counter languages: which symbols may come next in a string of as many of each letter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.arithmetic import check_lengths
from cellbench.generators.base import Answers, Batch, Generator, Reads, Sets, Tokens
from cellbench.generators.lengths import draw_lengths, steps
from cellbench.generators.stream import Stream
from cellbench.options import whole_up_to

ALPHABET = "abcdefgh"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Counters(Generator):
    """Show n times a, n times b and so on, and ask at every step what may come next.

    With letters=2, shortest=1, longest=5, sequence 5 of the training stream:

        input    a  a  a  a  a  b  b  b  b  b
        target  ab ab ab ab ab  b  b  b  b  $

    After an a, another may follow, or the first b; from then on all is forced. `$` is the
    end of the string. How often each letter comes, n, is uniform from `shortest` to `longest`.
    A string counts if every step of it is right.

    Source: Gers & Schmidhuber 2001, "LSTM recurrent networks learn simple context-free and
    context-sensitive languages"; the sets of symbols, Suzgun et al. 2018, arXiv:1811.01001.
    Differs from it: `$` is a symbol of its own, and does not start the string. There is no
    string for n = 0. All steps are asked, so all are learned.

    Attributes:
        letters: Different letters, 2 to 8.
        shortest: The smallest n.
        longest: The largest.
    """

    letters: int
    shortest: int
    longest: int

    def __post_init__(self) -> None:
        whole_up_to("letters", self.letters, low=2, high=len(ALPHABET), of="eight")
        check_lengths(self.shortest, self.longest, low=1)

    @property
    def reads(self) -> Reads:
        return Tokens(self.letters + 1, ALPHABET[: self.letters] + ".")

    @property
    def answers(self) -> Answers:
        return Sets(self.letters + 1, ALPHABET[: self.letters] + "$")

    @property
    def metric(self) -> str:
        return "exact"

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        count = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        step = steps(self.letters * self.longest, index)
        inputs = _reached(step, count, self.letters)
        following = _reached(step + 1, count, self.letters)
        another = step < count  # an a may follow, and so may the first b
        forced = [following == n for n in range(2, self.letters + 1)]
        targets = torch.stack([another, another | (following == 1), *forced], dim=2).float()
        scored = step < self.letters * count
        return Batch(inputs, targets * scored.unsqueeze(2), scored, scored)

    def trivial(self) -> float:
        """Return how often the one n that is guessed is right: all start being asked at once."""
        return 1 / (self.longest - self.shortest + 1)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Float[Tensor, "time batch symbols"]:
        """Count the letters: after as many as there were of a, the next one is due."""
        symbols = self.letters + 1
        shown = torch.nn.functional.one_hot(inputs, symbols)[:, :, : self.letters]
        so_far = shown.cumsum(dim=0)
        full = so_far == so_far[-1, :, :1]
        more = shown * ~full
        due = shown * full
        none = torch.zeros_like(more[:, :, :1])
        targets = torch.cat([more, none], dim=2) + torch.cat([none, due], dim=2)
        after_a = shown[:, :, 0] == 1
        targets[:, :, :2] = torch.where(after_a.unsqueeze(2), 1, targets[:, :, :2])
        return targets.float()

    def at_length(self, length: int) -> Counters:
        """Return the task with as many different n as here, and `length` the largest of them.

        Of one n alone, everybody would know the string.
        """
        apart = self.longest - self.shortest
        if length <= apart:
            raise OptionError(f"length must be at least {1 + apart}, one for each n, not {length}.")
        return replace(self, shortest=length - apart, longest=length)


def _reached(step: Tensor, count: Tensor, letters: int) -> Tensor:
    """Return which letter stands at a step, or `letters` after the last."""
    return torch.stack([step >= count * n for n in range(1, letters + 1)]).sum(dim=0)
