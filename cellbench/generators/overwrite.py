"""Overwrite: keys are written again and again, and the latest value is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import letters
from cellbench.generators.stream import Stream
from cellbench.options import whole


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Overwrite(Generator):
    """Write each key several times, in any order; then ask for the latest value of each.

    With keys=2, values=5, times=3, sequence 0 of the training stream:

        input   b 3 b 0 a 2 a 0 a 3 b 0 a b
        target  - - - - - - - - - - - - 3 0

    A write is a key (a letter) and a value, independent of those before it. When all writes are
    done, each key is shown once more, in any order, and its latest value is asked. Ids: first
    the keys, then the values; a class is the number of a value. The loss looks where the metric
    does: the other steps show random ids, and there is nothing to learn from them.

    Source: none; this form is our own. It asks for what the delta rule is made for: Schlag et
    al. 2021, arXiv:2102.11174.
    Differs from it: in nothing.

    Attributes:
        keys: Distinct keys, all written and all asked.
        values: Distinct values.
        times: Writes of each key.
    """

    keys: int
    values: int
    times: int

    def __post_init__(self) -> None:
        whole("keys", self.keys, low=1)
        whole("values", self.values, low=2)
        whole("times", self.times, low=1)

    @property
    def reads(self) -> Reads:
        return Tokens(self.keys + self.values, (*letters(self.keys), *self._names))

    @property
    def answers(self) -> Answers:
        return Tokens(self.values, self._names)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        writes = self.keys * self.times
        keys = stream.choose("writes", index, writes, out_of=writes) % self.keys
        values = stream.integers("values", index, writes, below=self.values)
        asked = stream.choose("asked", index, self.keys, out_of=self.keys)
        place = torch.arange(writes, device=index.device).unsqueeze(1).expand_as(keys)
        latest = torch.zeros_like(asked).scatter_reduce_(0, keys, place, "amax")
        shown = torch.stack([keys, values + self.keys], dim=1).flatten(0, 1)
        inputs = torch.cat([shown, asked])
        answer = values.gather(0, latest.gather(0, asked))
        targets = torch.cat([torch.zeros_like(shown), answer])
        step = torch.arange(len(inputs), device=index.device).unsqueeze(1)
        scored = (step >= 2 * writes).expand_as(inputs)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        return 1 / self.values

    def controls(self) -> Mapping[str, float]:
        """Take the first value of the key, or any of its values; both may be right by luck."""
        lucky = 1 / self.values
        others = (self.times - 1) / self.times
        return {
            "first value": 1.0 if self.times == 1 else lucky,
            "any value of this key": 1 - others + others * lucky,
        }

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Compare each key asked with all that were written, and take the latest equal."""
        end = 2 * self.keys * self.times
        keys, values, asked = inputs[:end:2], inputs[1:end:2] - self.keys, inputs[end:]
        place = torch.arange(len(keys), device=inputs.device)[:, None, None]
        latest = place.where(keys.unsqueeze(1) == asked, 0).amax(dim=0)
        return torch.cat([torch.zeros_like(inputs[:end]), values.gather(0, latest)])

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.values)))
