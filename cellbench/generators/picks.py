"""What several recall tasks draw: different things, one of those present, and how many came."""

from __future__ import annotations

import string
from fractions import Fraction

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.generators.stream import Stream

LOSSES = ("answer", "all")
"""Where the loss looks: where the metric does, or at all steps."""

SHARE_BITS = 31
"""A draw below 2**31, times a count, shifted right by this, is a draw below the count."""


def some_of(
    stream: Stream, purpose: str, index: Int[Tensor, "batch"], count: int, *, out_of: int
) -> Int[Tensor, "{count} batch"]:
    """Return `count` different integers below `out_of`: every set alike, in no fair order.

    Floyd's picks: each is drawn below a bound that grows by one, and whoever meets an earlier
    one takes the bound itself, which no earlier one can be. Nothing of size `out_of` is made.
    """
    first = out_of - count
    picks = stream.integers(
        purpose, index, count, below=[first + place + 1 for place in range(count)]
    )
    for place in range(1, count):
        taken = (picks[:place] == picks[place]).any(dim=0)
        picks[place] = torch.where(taken, first + place, picks[place])
    return picks


def different(
    stream: Stream, purpose: str, index: Int[Tensor, "batch"], count: int, *, out_of: int
) -> Int[Tensor, "{count} batch"]:
    """Return `count` different integers below `out_of`, every set and every order alike."""
    picks = some_of(stream, purpose, index, count, out_of=out_of)
    return picks.gather(0, stream.choose(f"order of {purpose}", index, count, out_of=count))


def one_of(
    present: Bool[Tensor, "kinds batch"], draw: Int[Tensor, "batch"]
) -> Int[Tensor, "batch"]:
    """Return one of the kinds that are present, all alike; `draw` is below 2**31."""
    ranks = present.cumsum(dim=0)
    wanted = draw * ranks[-1] >> SHARE_BITS
    return (ranks <= wanted).sum(dim=0)


def one_over_distinct(draws: int, kinds: int) -> Fraction:
    """Return the mean of 1/m, where m kinds are met in `draws` draws out of `kinds`."""
    chances = distinct(draws, kinds)
    return sum((chance / met for met, chance in enumerate(chances) if met), Fraction(0))


def distinct(draws: int, kinds: int) -> list[Fraction]:
    """Return the chances that 0, 1, 2, ... kinds are met in `draws` draws out of `kinds`."""
    chances = [Fraction(1)]
    for _ in range(draws):
        met = [Fraction(0)] * (len(chances) + 1)
        for known, chance in enumerate(chances):
            met[known] += chance * Fraction(known, kinds)
            met[known + 1] += chance * Fraction(kinds - known, kinds)
        chances = met
    return chances


def letters(count: int) -> tuple[str, ...]:
    """Return names of keys: letters, or k and a number where there are not enough of those."""
    if count <= len(string.ascii_lowercase):
        return tuple(string.ascii_lowercase[:count])
    return tuple(f"k{number}" for number in range(count))
