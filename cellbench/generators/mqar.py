"""Multi-query associative recall: many key-value pairs, and every key asked once."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import SHARE_BITS, different
from cellbench.generators.stream import Stream
from cellbench.options import above_zero, choice, whole, whole_up_to

FILLERS = ("zero", "random")
FIRST_KEY = 1
_WEIGHT = 2**30  # of all gaps together, about: sums of whole numbers stay below 2**31


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MultiQueryRecall(Generator):
    """Show keys with their values, then every key once more, and ask for its value.

    With vocabulary=16, pairs=2, length=12, power=0.01, filler=zero,
    sequence 0 of the training stream:

        input    1  9  7 12  0  0  0  0  1  0  7  0
        target   -  -  -  -  -  -  -  -  9  - 12  -

    Of the `vocabulary`, 0 is the blank, ids below one half are keys, the others are values. Keys
    are different from each other, and so are values. The answer is asked at the step that shows
    the key again. Keys come back at even steps after the pairs: gap g, of those still free, has
    a chance proportional to `power` * (g + 1)**(`power` - 1).

    Source: Arora et al. 2023, arXiv:2312.04927.
    Differs from it: a random filler that would be one of the keys shown is the value id half a
    vocabulary further on: so a key stands there only where it is asked. Chances of gaps are
    whole numbers, about 2**30 in all. The loss looks at the answers only, as there.

    Attributes:
        vocabulary: Ids in all.
        pairs: Keys with a value each.
        length: Steps of the sequence; at least four a pair.
        power: Above 0 and up to 1, where all gaps are alike; near 0, most keys are asked early.
        filler: What stands where nothing else does: `zero`, or `random` ids.
    """

    vocabulary: int
    pairs: int
    length: int
    power: float
    filler: str

    def __post_init__(self) -> None:
        whole("vocabulary", self.vocabulary, low=4)
        whole_up_to(
            "pairs", self.pairs, low=1, high=self.vocabulary // 2 - FIRST_KEY, of="vocabulary/2-1"
        )
        whole("length", self.length, low=4 * self.pairs)
        above_zero("power", self.power, high=1)
        choice("filler", self.filler, FILLERS)

    @property
    def reads(self) -> Reads:
        return Tokens(self.vocabulary)

    @property
    def answers(self) -> Answers:
        return Tokens(self.vocabulary)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        count, half = self.pairs, self._first_value
        keys = different(stream, "keys", index, count, out_of=half - FIRST_KEY)
        keys += FIRST_KEY
        values = different(stream, "values", index, count, out_of=self.vocabulary - half)
        values += half
        inputs = index.new_zeros((self.length, len(index)))
        inputs[: 2 * count : 2] = keys
        inputs[1 : 2 * count : 2] = values
        if self.filler == "random":
            inputs[2 * count :] = self._fillers(stream, index, keys)
        asked = 2 * count + 2 * self._gaps(stream, index)
        inputs.scatter_(0, asked, keys)
        targets = torch.zeros_like(inputs).scatter_(0, asked, values)
        scored = torch.zeros_like(inputs, dtype=torch.bool).scatter_(0, asked, value=True)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / (self.vocabulary - self._first_value)

    def controls(self) -> Mapping[str, float]:
        return {"any value shown": 1 / self.pairs}

    def at_length(self, length: int) -> MultiQueryRecall:
        return replace(self, length=length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Look every later id up in a table of the pairs; fillers are not in it."""
        shown = inputs[: 2 * self.pairs]
        table = inputs.new_zeros((self.vocabulary, inputs.shape[1]))
        table.scatter_(0, shown[::2], shown[1::2])
        found = table.gather(0, inputs[2 * self.pairs :])
        return torch.cat([torch.zeros_like(shown), found])

    @property
    def _first_value(self) -> int:
        return self.vocabulary // 2

    def _fillers(
        self, stream: Stream, index: Int[Tensor, "batch"], keys: Int[Tensor, "pairs batch"]
    ) -> Int[Tensor, "rest batch"]:
        """Return random ids, none of which is one of `keys`."""
        rest = self.length - 2 * self.pairs
        ids = stream.integers("fillers", index, rest, below=self.vocabulary)
        shown = keys.new_zeros((self.vocabulary, len(index)), dtype=torch.bool)
        shown.scatter_(0, keys, value=True)
        return ids.add_(shown.gather(0, ids) * self._first_value)

    def _gaps(self, stream: Stream, index: Int[Tensor, "batch"]) -> Int[Tensor, "pairs batch"]:
        """Return a gap of each key: one pick after the other, of what is left."""
        weights = _weights((self.length - 2 * self.pairs) // 2, self.power)
        left = torch.tensor(weights, device=index.device).repeat(len(index), 1)
        picked = []
        for draw in stream.integers("gaps", index, self.pairs, below=2**SHARE_BITS):
            sums = left.cumsum(dim=1)
            mark = draw * sums[:, -1] >> SHARE_BITS
            gap = torch.searchsorted(sums, mark.unsqueeze(1), right=True)
            left.scatter_(1, gap, 0)
            picked.append(gap)
        return torch.cat(picked, dim=1).T


@functools.lru_cache(maxsize=64)
def _weights(gaps: int, power: float) -> tuple[int, ...]:
    """Return the chances of gaps from 0 on, as whole numbers."""
    shares = [(gap + 1) ** (power - 1) for gap in range(gaps)]
    total = sum(shares)
    return tuple(max(1, round(_WEIGHT * share / total)) for share in shares)
