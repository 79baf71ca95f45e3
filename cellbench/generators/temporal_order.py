"""Temporal order: a few symbols among noise; say in which order they came."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import final

from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.hs97 import last_steps, longest
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_between

WINDOWS: Mapping[int, tuple[tuple[int, int], ...]] = MappingProxyType(
    {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
)
"""Markers -> from where to where each may stand, in hundredths of the shortest sequence."""

GLYPHS = ".EabcdXYB"
BLANK, START, NOISE, X, Y, END = (GLYPHS.index(one) for one in ".EaXYB")
_NOISES = 4
_SHORTEST = 10  # of fewer steps, the windows of three markers would meet


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalOrder(Generator):
    """Show two or three markers among noise, and ask which they were, in order.

    With markers=2, length=10, sequence 0 of the training stream:

        input    E  b  Y  a  d  b  X  c  b  B  .
        target   -  -  -  -  -  -  -  -  - YX  -

    `E` starts and `B` ends a sequence, `a` to `d` are noise, `X` and `Y` the markers; `.` is
    after the end. A sequence has from `length` to 1.1 `length` steps, rounded down. Markers
    are anywhere in their windows: of 100 steps, from step 10 to 20 and from 50 to 60; of
    three, from 10 to 20, 33 to 43, and 66 to 76; of another length, the same hundredths,
    rounded down. Steps are counted from 0, ends of windows included.

    Source: Hochreiter & Schmidhuber 1997, experiments 6a and 6b.
    Differs from it: in nothing at length=100, if its positions count from 0; other lengths
    are ours. As there, nothing is asked, and nothing learned, before the end.

    Attributes:
        markers: How many: 2 (6a, four classes) or 3 (6b, eight classes).
        length: Steps of the shortest sequence.
    """

    markers: int
    length: int

    def __post_init__(self) -> None:
        whole_between("markers", self.markers, low=min(WINDOWS), high=max(WINDOWS))
        whole("length", self.length, low=_SHORTEST)

    @property
    def reads(self) -> Reads:
        return Tokens(len(GLYPHS), GLYPHS)

    @property
    def answers(self) -> Answers:
        names = tuple(map("".join, itertools.product("XY", repeat=self.markers)))
        return Tokens(len(names), names)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        low = [first for first, _ in self._windows]
        spans = [last - first + 1 for first, last in self._windows]
        ids = stream.integers("noise", index, longest(self.length), below=_NOISES) + NOISE
        shown = stream.integers("markers", index, self.markers, below=2)
        places = stream.integers("places", index, self.markers, below=spans)
        places += index.new_tensor(low).unsqueeze(1)
        end = last_steps(stream, index, self.length).unsqueeze(0)
        ids[0] = START
        ids.scatter_(0, places, X + shown)
        ids.scatter_(0, end, END)
        ids.masked_fill_(steps(len(ids), ids) > end, BLANK)
        order = sum(bit << place for place, bit in enumerate(shown.flip(0)))
        targets = ids.new_zeros(ids.shape).scatter_(0, end, order.unsqueeze(0))
        asked = steps(len(ids), ids) == end
        return Batch(ids, targets, asked, asked)

    def trivial(self) -> float:
        return 0.5**self.markers

    def controls(self) -> Mapping[str, float]:
        return {"all markers but one": 0.5}

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Read the markers before each end as digits of a binary number."""
        marker = (inputs == X) | (inputs == Y)
        after = marker.sum(0) - marker.cumsum(0)
        order = ((inputs == Y).long() << after).sum(0)
        return (inputs == END) * order

    def at_length(self, length: int) -> TemporalOrder:
        return replace(self, length=length)

    @property
    def _windows(self) -> list[tuple[int, int]]:
        return [
            (first * self.length // 100, last * self.length // 100)
            for first, last in WINDOWS[self.markers]
        ]
