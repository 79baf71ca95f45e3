"""In-context recall, with or without noise: tell the value that a key had before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import LOSSES, SHARE_BITS, letters, one_of
from cellbench.generators.stream import Stream
from cellbench.options import choice, multiple, real, whole

_SCALE = 2**24  # a share is a multiple of one part in this


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyRecall(Generator):
    """Show keys and their values, and noise; ask for the value of each key that came before.

    With length=16, keys=3, values=4, noise=2, share=0.3, loss=answer,
    sequence 0 of the training stream:

        input    a  2 ~0 ~0 ~1 ~0  c  2 ~0 ~0  b  0  a  2  a
        target   -  -  -  -  -  -  -  -  -  -  -  -  2  -  2

    The sequence is `length`/2 pairs of ids. Each but the last is noise with a chance of `share`:
    two random noise ids; else a random key and its value, which in one sequence is always the
    same. The last is one of the keys shown, all alike; its value is asked, and not shown. At
    every step that shows a key seen before, its value is asked, and shown next. Ids: first the
    keys (letters), then the values (digits or v), then the noise (`~`, numbered).

    Source: Poli et al. 2024, arXiv:2403.17844.
    Differs from it: one pair before the last is never noise, so that there is always a key to
    ask. A share of noise is a multiple of 2**-24. loss=all, as in the public code, asks for the
    next id at the other steps.

    Attributes:
        length: Ids of the sequence; the last is only asked, so there is one step less.
        keys: Distinct keys.
        values: Distinct values.
        noise: Distinct noise ids; 0 if there is no noise.
        share: Of the pairs that are noise, from 0 to below 1.
        loss: Where the loss looks: `answer`, or `all` steps.
    """

    length: int
    keys: int
    values: int
    noise: int
    share: float
    loss: str

    def __post_init__(self) -> None:
        whole("length", self.length, low=4)
        multiple("length", self.length, of=2)
        whole("keys", self.keys, low=1)
        whole("values", self.values, low=2)
        real("share", self.share, low=0, below=1)
        whole("noise", self.noise, low=int(self.share > 0))
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return self._tokens

    @property
    def answers(self) -> Answers:
        return self._tokens

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        noisy = self._noisy(stream, index)
        key, seen = self._keys(stream, index, noisy)
        of_key = stream.integers("values", index, self.keys, below=self.values) + self.keys
        ids = torch.stack([key, of_key.gather(0, key)], dim=1).flatten(0, 1)
        if self.share > 0:
            noise = stream.integers("noise", index, self.length, below=self.noise)
            noise += self.keys + self.values
            ids = noise.where(noisy.repeat_interleave(2, dim=0), ids)
        inputs, targets = ids[:-1], ids[1:]
        scored = torch.zeros_like(inputs, dtype=torch.bool)
        scored[::2] = seen
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        return Batch(inputs, targets, scored, trained)

    def trivial(self) -> float:
        return 1 / self.values

    def at_length(self, length: int) -> NoisyRecall:
        return replace(self, length=length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Write what follows each key into a table; no key has two values."""
        is_key = inputs < self.keys
        row = inputs.where(is_key, self.keys)  # the last row takes what follows no key
        table = inputs.new_zeros((self.keys + 1, inputs.shape[1]))
        table.scatter_(0, row[:-1], inputs[1:])
        after = torch.cat([inputs[1:], torch.zeros_like(inputs[:1])])
        return table.gather(0, row).where(is_key, after)

    @property
    def _pairs(self) -> int:
        return self.length // 2

    @property
    def _tokens(self) -> Tokens:
        values = map(str if self.values <= 10 else "v{}".format, range(self.values))  # noqa: PLR2004 -- digits
        noise = (f"~{number}" for number in range(self.noise))
        size = self.keys + self.values + self.noise
        return Tokens(size, (*letters(self.keys), *values, *noise))

    def _noisy(self, stream: Stream, index: Int[Tensor, "batch"]) -> Bool[Tensor, "pairs batch"]:
        """Return which pairs are noise: not the last, nor one of the others."""
        draw = stream.integers("noisy", index, self._pairs, below=_SCALE)
        noisy = draw < round(self.share * _SCALE)
        kept = stream.integers("kept", index, 1, below=self._pairs - 1)
        noisy.scatter_(0, kept, value=False)
        noisy[-1] = False
        return noisy

    def _keys(
        self, stream: Stream, index: Int[Tensor, "batch"], noisy: Bool[Tensor, "pairs batch"]
    ) -> tuple[Int[Tensor, "pairs batch"], Bool[Tensor, "pairs batch"]]:
        """Return the key of each pair, and whether it was shown before."""
        key = stream.integers("keys", index, self._pairs, below=self.keys)
        place = torch.arange(self._pairs, device=index.device).unsqueeze(1)
        shown_at = place.where(~noisy, self._pairs)
        first = index.new_full((self.keys, len(index)), self._pairs)
        first.scatter_reduce_(0, key[:-1], shown_at[:-1], "amin")
        draw = stream.integers("asked", index, 1, below=2**SHARE_BITS)
        key[-1] = one_of(first < self._pairs, draw[0])
        return key, ~noisy & (first.gather(0, key) < place)
