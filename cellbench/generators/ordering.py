"""The orders in which the places of a sequence are asked for, by name."""

from __future__ import annotations

import functools
import hashlib
import re

from cellbench.errors import OptionError
from cellbench.options import choice

PLAIN = ("forward", "reverse", "bit_reversed", "random")
SIZED = ("stride", "block")
_SIZED = re.compile(r"(stride|block)\(([^)]*)\)")


@functools.lru_cache(maxsize=256)
def places(order: str, length: int) -> tuple[int, ...]:
    """Return the places 0 to `length - 1` in the order in which they are asked.

    - forward: 0, 1, 2 and so on.
    - reverse: the last first.
    - bit_reversed: by the value of their binary digits read backwards, with as many digits as
      the last place needs: first the two ends of the largest step, then what lies between.
    - random: by the SHA-256 of the place's number, so one order for ever.
    - stride(k): all multiples of k, then those that leave 1, and so on.
    - block(k): blocks of k neighbours, the last block first, forward inside each; if k does not
      divide the length, the last block is the shorter one.

    Raises:
        OptionError: There is no such order.
    """
    forward = range(length)
    if sized := _SIZED.fullmatch(order):
        kind, size = sized[1], _size(order, sized[2], length)
        starts = range(size) if kind == "stride" else reversed(range(0, length, size))
        step, reach = (size, length) if kind == "stride" else (1, size)
        return tuple(at for start in starts for at in range(start, length, step)[:reach])
    choice("order", order, (*PLAIN, *(f"{kind}(k)" for kind in SIZED)))
    if order == "forward":
        return tuple(forward)
    if order == "reverse":
        return tuple(reversed(forward))
    digits = (length - 1).bit_length()
    key = _hashed if order == "random" else functools.partial(_reversed_bits, digits=digits)
    return tuple(sorted(forward, key=key))


def _size(order: str, text: str, length: int) -> int:
    """Return the k of stride(k) or block(k), from 2 to `length - 1`: all else is forward."""
    size = int(text) if text.isascii() and text.isdigit() else 0
    if not 2 <= size < length:  # noqa: PLR2004 -- 1 changes nothing
        raise OptionError(
            f"k of order={order} must be a whole number from 2 to {length - 1}, "
            f"one less than the length, not {text!r}."
        )
    return size


def _reversed_bits(place: int, *, digits: int) -> int:
    return int(f"{place:0{digits}b}"[::-1], 2)


def _hashed(place: int) -> bytes:
    return hashlib.sha256(f"place {place}".encode()).digest()


@functools.lru_cache(maxsize=256)
def turns(order: str, length: int) -> tuple[int, ...]:
    """Return of each place the step at which it is asked."""
    found = [0] * length
    for step, place in enumerate(places(order, length)):
        found[place] = step
    return tuple(found)
