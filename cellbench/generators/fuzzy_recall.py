"""Fuzzy recall: keys and values are several ids long, and not equally long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.generators import compiled_fuzzy_recall
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import LOSSES, SHARE_BITS, letters
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole, whole_up_to

BLANK = 0
FIRST_KEY = 1
_LONGEST = 4  # ids of a key or value


class _Draws(NamedTuple):
    """What a sequence is made of: sizes less one, ids place by place, and which pair is last."""

    key_sizes: Int[Tensor, "pairs batch"]
    value_sizes: Int[Tensor, "pairs batch"]
    keys: Int[Tensor, "key_ids batch"]
    values: Int[Tensor, "value_ids batch"]
    asked: Int[Tensor, "1 batch"]


class _Pairs(NamedTuple):
    """Pairs of each sequence: what they are made of, which were shown before, which is last."""

    key_size: Int[Tensor, "pairs batch"]
    value_size: Int[Tensor, "pairs batch"]
    table: Int[Tensor, "batch ids"]  # of those that were drawn: all ids of the first, and so on
    first: Int[Tensor, "pairs batch"]  # which of them each is
    seen: Bool[Tensor, "pairs batch"]
    last: Int[Tensor, "1 batch"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzyRecall(Generator):
    """Show keys and values of several ids each; ask for the value of each key that came before.

    With length=20, keys=2, values=3, key_size=2, value_size=2, loss=answer,
    sequence 0 of the training stream:

        input   . a 2 a 2 a b 1 b 0 b a 1 2 a 2 a 2 a b
        target  - - - 2 - - - - - - - - - - 2 - 2 - - 1

    A key is 1 to `key_size` different key ids (letters), all lengths alike; a value likewise of
    value ids (digits or v). In one sequence a key always has the same value. Pairs follow each
    other while there is room; then one of them comes once more. The value of a key that came
    before is asked id by id, each at the step before it is shown; its very last id is only
    asked. Blanks (`.`) before the pairs fill the sequence up, and nothing else tells pairs apart.

    Source: Poli et al. 2024, arXiv:2403.17844.
    Differs from it: the pair that comes last is drawn from those shown, not put among them. Test
    sequences are drawn like the others, where there they have keys of full length only. loss=all,
    as in the public code, asks for the next id at the other steps.

    Attributes:
        length: Steps of the sequence.
        keys: Distinct key ids.
        values: Distinct value ids.
        key_size: Ids of a key at most.
        value_size: Ids of a value at most.
        loss: Where the loss looks: `answer`, or `all` steps.
    """

    length: int
    keys: int
    values: int
    key_size: int
    value_size: int
    loss: str

    def __post_init__(self) -> None:
        whole_up_to("keys", self.keys, low=1, high=2**14, of="2**14")
        whole("values", self.values, low=2)
        for name, size, of, ids in (
            ("key_size", self.key_size, "keys", self.keys),
            ("value_size", self.value_size, "values", self.values),
        ):
            whole_up_to(name, size, low=1, high=min(ids, _LONGEST), of=f"min({of}, {_LONGEST})")
        whole("length", self.length, low=2 * self._longest)
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return self._tokens

    @property
    def answers(self) -> Answers:
        return self._tokens

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        drawn = self._draws(stream, index)
        if compiled_fuzzy_recall.usable(drawn.keys):
            shown, asked = compiled_fuzzy_recall.pairs(
                (drawn.key_sizes, drawn.value_sizes),
                (drawn.keys, drawn.values),
                drawn.asked,
                length=self.length,
                longest=(self.key_size, self.value_size),
                first=(FIRST_KEY, self._first_value),
            )
        else:
            shown, asked = self._laid_out(self._pairs(drawn))
        inputs, targets = shown[:-1], shown[1:]  # the same memory: what is next is the target
        scored = asked[1:]
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        return Batch(inputs, targets, scored, trained)

    def trivial(self) -> float:
        return 1 / self.values

    def at_length(self, length: int) -> FuzzyRecall:
        return replace(self, length=length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Spell every key as one number, and compare each with all others."""
        is_key = (inputs >= FIRST_KEY) & (inputs < self._first_value)
        is_value = inputs >= self._first_value
        starts = is_key.clone()
        starts[1:] &= ~is_key[:-1]
        pair = starts.cumsum(dim=0)  # from 1 on; 0 are the blanks
        value_place = _since_start(is_value, starts)
        base = self.keys + 1
        number = inputs.new_zeros((len(inputs) + 1, inputs.shape[1]))
        weight = torch.tensor([base**e for e in range(_LONGEST + 1)], device=inputs.device)
        place = _since_start(is_key, starts).clamp(max=_LONGEST)
        number.scatter_add_(0, pair, (inputs * weight[place]).where(is_key, 0))
        first = (number.unsqueeze(1) == number).int().argmax(dim=0)
        width = _LONGEST + 1
        table = inputs.new_zeros((len(number) * width, inputs.shape[1]))
        table.scatter_(0, (pair * width + value_place - 1).where(is_value, 0), inputs)
        told = table.gather(0, first.gather(0, pair) * width + value_place.clamp(max=_LONGEST))
        after = torch.cat([inputs[1:], told[-1:]])
        return told.where(after >= self._first_value, after)

    @property
    def _longest(self) -> int:
        return self.key_size + self.value_size

    @property
    def _first_value(self) -> int:
        return FIRST_KEY + self.keys

    @property
    def _tokens(self) -> Tokens:
        values = map(str if self.values <= 10 else "v{}".format, range(self.values))  # noqa: PLR2004 -- digits
        size = self._first_value + self.values
        return Tokens(size, (".", *letters(self.keys), *values))

    def _draws(self, stream: Stream, index: Int[Tensor, "batch"]) -> _Draws:
        """Draw as many pairs as a sequence can hold."""
        count = (self.length + 1 - self._longest) // 2
        keys = _bounds(self.key_size, self.keys, count)
        values = _bounds(self.value_size, self.values, count)
        return _Draws(
            stream.integers("key sizes", index, count, below=self.key_size),
            stream.integers("value sizes", index, count, below=self.value_size),
            stream.integers("keys", index, len(keys), below=keys),
            stream.integers("values", index, len(values), below=values),
            stream.integers("asked", index, 1, below=2**SHARE_BITS),
        )

    def _pairs(self, drawn: _Draws) -> _Pairs:
        """Return pairs that fill the sequence, and after the last that fits, one once more."""
        room = self.length + 1 - self._longest
        count, batch = drawn.key_sizes.shape
        key_size, value_size = drawn.key_sizes + 1, drawn.value_sizes + 1
        key = _motifs(drawn.keys.view(self.key_size, count, batch))
        value = _motifs(drawn.values.view(self.value_size, count, batch))
        first = _first_alike(self._numbers(key, key_size), (self.keys + 1) ** self.key_size)
        ends = (key_size + value_size.gather(0, first)).cumsum(dim=0)
        last = (ends <= room).sum(dim=0, keepdim=True)
        place = torch.arange(count + 1, device=last.device).unsqueeze(1).expand(-1, batch)
        source = place.clamp(max=count - 1).scatter(0, last, drawn.asked * last >> SHARE_BITS)
        first = first.gather(0, source)
        table = key.new_empty((batch, count, self._longest))  # one pass, into its last place
        table[..., : self.key_size] = key.add_(FIRST_KEY).permute(2, 1, 0)
        table[..., self.key_size :] = value.add_(self._first_value).permute(2, 1, 0)
        return _Pairs(
            key_size.gather(0, first),
            value_size.gather(0, first),
            table.flatten(1),
            first,
            first < place,
            last,
        )

    def _laid_out(
        self, pairs: _Pairs
    ) -> tuple[Int[Tensor, "ids batch"], Bool[Tensor, "ids batch"]]:
        """Return the pairs one after the other, blanks before them, and which ids are asked."""
        sizes = pairs.key_size + pairs.value_size
        ends = sizes.cumsum(dim=0)
        blanks = self.length + 1 - ends.gather(0, pairs.last).T
        place = torch.arange(self.length + 1, device=ends.device) - blanks
        pair = torch.searchsorted(ends.T.contiguous(), place, right=True)
        key_size = pairs.key_size.T.gather(1, pair)
        within = place - (ends - sizes).T.gather(1, pair)
        in_value = within >= key_size
        within += (self.key_size - key_size).where(in_value, 0)
        of = pairs.first.T.gather(1, pair)
        ids = pairs.table.gather(1, of.mul_(self._longest).add_(within).clamp_(min=0))
        asked = in_value & pairs.seen.T.gather(1, pair)
        return ids.where(place >= 0, BLANK).T.contiguous(), asked.T.contiguous()

    def _numbers(
        self, key: Int[Tensor, "size pairs batch"], size: Int[Tensor, "pairs batch"]
    ) -> Int[Tensor, "pairs batch"]:
        """Return a number of each key; two keys have the same only if they are the same."""
        number = torch.zeros_like(size)
        for place, ids in enumerate(key):
            number = number * (self.keys + 1) + (ids + 1).where(size > place, 0)
        return number


def _bounds(size: int, kinds: int, pairs: int) -> list[int]:
    """Return below what each id of all pairs is drawn: one kind less at each place."""
    return [kinds - place for place in range(size) for _ in range(pairs)]


def _motifs(draws: Int[Tensor, "size pairs batch"]) -> Int[Tensor, "size pairs batch"]:
    """Make different ids of each pair's draws, every order alike."""
    rising: list[Tensor] = []  # the ids picked so far
    for draw in draws:
        for one in rising:
            draw.add_(draw >= one)
        mark = draw
        for place, one in enumerate(rising):
            rising[place], mark = torch.minimum(one, mark), torch.maximum(one, mark)
        rising.append(mark)
    return draws


def _first_alike(numbers: Int[Tensor, "pairs batch"], most: int) -> Int[Tensor, "pairs batch"]:
    """Return for each number the first place where the same number stands.

    Number and place are sorted as one, which needs no stable sort: of 32 bits, where `most`, above
    all numbers, lets them fit, and along the rows that lie together: a third of the time.
    """
    count = len(numbers)
    bits = count.bit_length()
    both = (numbers << bits) + torch.arange(count, device=numbers.device).unsqueeze(1)
    small = most << bits < 2**31
    rising = both.T.to(torch.int32 if small else torch.int64).contiguous().sort(dim=1).values
    place, number = (rising & ((1 << bits) - 1)).long(), rising >> bits
    starts = torch.ones_like(number, dtype=torch.bool)
    starts[:, 1:] = number[:, 1:] != number[:, :-1]
    rank = torch.arange(count, device=numbers.device)
    start = rank.where(starts, 0).cummax(dim=1).values
    return torch.empty_like(place).scatter_(1, place, place.gather(1, start)).T.contiguous()


def _since_start(
    mask: Bool[Tensor, "time batch"], starts: Bool[Tensor, "time batch"]
) -> Int[Tensor, "time batch"]:
    """Count the steps of `mask` since the latest of `starts`."""
    count = mask.cumsum(dim=0)
    return count - (count - mask.long()).where(starts, 0).cummax(dim=0).values
