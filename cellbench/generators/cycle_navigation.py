"""Cycle navigation: where many small moves on a circle lead."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import (
    FIRST_SYMBOL,
    at_step,
    check_lengths,
    draw_lengths,
    length_of,
    steps,
    with_blanks,
)
from cellbench.generators.stream import Stream
from cellbench.options import whole

_STAY, _FORWARD, _BACK = range(3)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CycleNavigation(Generator):
    """Show moves on a circle of places, and ask for the place where they lead.

    With shortest=4, longest=9, places=5, sequence 8 of the training stream:

        input   0 - - 0 + 0 - + . .
        target  - - - - - - - - 4 -

    Token ids: 0 blank (`.`), 1 stay (`0`), 2 one place forward (`+`), 3 one place back (`-`).
    Classes are places; the walk starts at place 0. The three moves are equally likely. Every
    sequence draws its own length; blanks follow it, and the answer stands on the first.

    Source: Deletang et al. 2022, arXiv:2207.02098, with 5 places.
    Differs from it: lengths are drawn for each sequence and not for each batch.

    Attributes:
        shortest: Moves of the shortest sequence.
        longest: Moves of the longest; every length between is as likely.
        places: Places on the circle; at least 3, since with 2 forward is back.
    """

    shortest: int
    longest: int
    places: int

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest)
        whole("places", self.places, low=3)

    @property
    def reads(self) -> Reads:
        return Tokens(4, ".0+-")

    @property
    def answers(self) -> Answers:
        return Tokens(self.places)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        moves = stream.integers("moves", index, self.longest, below=3)
        inputs = with_blanks(moves, length, time=self.longest + 1)
        path = (moves - 3 * (moves == _BACK)).cumsum(dim=0)  # 2 is -1
        place = path.gather(0, (length - 1).unsqueeze(0))[0] % self.places
        scored = steps(self.longest + 1, length) == length
        return Batch(inputs, at_step(place, scored), scored, scored)

    def trivial(self) -> float:
        """Return how likely the likeliest place is, by following all odds move by move."""
        odds = torch.zeros(self.places, dtype=torch.float64)
        odds[0] = 1.0
        right = 0.0
        for length in range(1, self.longest + 1):
            odds = (odds + odds.roll(1) + odds.roll(-1)) / 3
            right += float(odds.max()) if length >= self.shortest else 0.0
        return right / (self.longest - self.shortest + 1)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Count the moves of either direction, in whatever order they came."""
        forward = (inputs == FIRST_SYMBOL + _FORWARD).sum(dim=0)
        back = (inputs == FIRST_SYMBOL + _BACK).sum(dim=0)
        asked = steps(len(inputs), inputs) == length_of(inputs)
        return at_step((forward - back) % self.places, asked)

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)
