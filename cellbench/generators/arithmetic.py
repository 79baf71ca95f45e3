"""What tasks on digits share: lengths that vary, operands, and answers after the input."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to

_FINE = 2**31  # what a fraction is counted in: a bound of 1000 errs by 1 in two millions


def check_lengths(shortest: object, longest: object, *, low: int) -> None:
    """Raise OptionError unless `low <= shortest <= longest`."""
    whole("longest", longest, low=low)
    if isinstance(longest, int):
        whole_up_to("shortest", shortest, low=low, high=longest, of="longest")


def multiple(name: str, value: object, *, of: int) -> None:
    """Raise OptionError unless `value` is a multiple of `of`, and above zero."""
    whole(name, value, low=of)
    if isinstance(value, int) and value % of:
        raise OptionError(f"{name} must be a multiple of {of}, not {value}.")


def integers_below(
    stream: Stream, purpose: str, index: Int[Tensor, "batch"], bounds: Int[Tensor, "batch"]
) -> Int[Tensor, "batch"]:
    """Return an integer for each sequence, from 0 to one less than its own bound."""
    return scaled(stream.integers(purpose, index, 1, below=_FINE)[0], bounds)


def scaled(fine: Tensor, bounds: Tensor) -> Tensor:
    """Bring numbers that are uniform below 2**31 to below `bounds`."""
    return (fine * bounds) >> 31


def delayed(
    rows: Int[Tensor, "places batch"], first: Int[Tensor, "batch"], time: int
) -> Int[Tensor, "{time} batch"]:
    """Put row 0 at the step `first` of each sequence, and the next ones after it."""
    place = steps(time, rows) - first
    moved = rows.gather(0, place.clamp(0, len(rows) - 1))
    return torch.where((place >= 0) & (place < len(rows)), moved, 0)


def between(time: int, first: Tensor, last: Tensor) -> Bool[Tensor, "{time} batch"]:
    """Tell of each step whether it is one from `first` to `last`."""
    step = steps(time, first)
    return (step >= first) & (step <= last)


def first_of(ids: Int[Tensor, "time batch"], token: int) -> Int[Tensor, "batch"]:
    """Return the first step at which the token stands."""
    return (ids == token).byte().argmax(dim=0)


def slice_of(
    ids: Int[Tensor, "time batch"], first: Tensor, count: Tensor, places: int
) -> Int[Tensor, "{places} batch"]:
    """Return the `count` tokens from step `first` on, and zeros after them."""
    place = steps(places, ids)
    found = ids.gather(0, (place + first).clamp(max=len(ids) - 1))
    return torch.where(place < count, found, 0)


def operands(shown: Tensor, plus: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bits of both numbers, with zeros above, one place more than they have."""
    places = len(shown) - 1
    one = slice_of(shown, torch.zeros_like(plus), plus, places)
    return one, slice_of(shown, plus + 1, length - plus - 1, places)


def bits_and_end(
    bits: Int[Tensor, "places batch"], end: int
) -> tuple[Int[Tensor, "more batch"], Int[Tensor, "batch"]]:
    """Return little-endian bits without upper zeros and then `end`; and how many bits there are.

    Zero is written as one bit. After the end there are zeros.
    """
    place = steps(len(bits), bits)
    count = ((place + 1) * bits).amax(dim=0).clamp(min=1)
    closed = torch.cat([bits, torch.zeros_like(bits[:1])])
    return torch.where(steps(len(closed), bits) == count, end, closed), count
