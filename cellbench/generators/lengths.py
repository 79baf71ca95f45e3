"""Sequences of many lengths: each draws its own, and blanks follow to the longest."""

from __future__ import annotations

import string

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.stream import Stream
from cellbench.options import whole, whole_up_to

BLANK = 0
FIRST_SYMBOL = 1
LETTERS = string.ascii_lowercase
"""What symbols are drawn as."""

_PACKED = 31  # bits of a draw below 2**31, every one of them fair


def check_lengths(shortest: int, longest: int) -> None:
    """Raise OptionError unless lengths from `shortest` to `longest` exist."""
    whole("shortest", shortest, low=1)
    whole("longest", longest, low=shortest)


def check_alphabet(alphabet: int) -> None:
    """Raise OptionError unless there are two symbols, and no more than letters."""
    whole_up_to("alphabet", alphabet, low=2, high=len(LETTERS), of="letters")


def odd_lengths(shortest: int, longest: int) -> range:
    """Return the odd lengths; raise OptionError if there is none."""
    check_lengths(shortest, longest)
    return _some(shortest, longest, range(shortest + 1 - shortest % 2, longest + 1, 2), "odd")


def even_lengths(shortest: int, longest: int) -> range:
    """Return the even lengths; raise OptionError if there is none."""
    check_lengths(shortest, longest)
    return _some(shortest, longest, range(shortest + shortest % 2, longest + 1, 2), "even")


def _some(shortest: int, longest: int, found: range, kind: str) -> range:
    if not found:
        raise OptionError(
            f"shortest and longest must leave an {kind} length, not {shortest} to {longest}."
        )
    return found


def draw_lengths(
    stream: Stream, index: Int[Tensor, "batch"], lengths: range
) -> Int[Tensor, "batch"]:
    """Return the length of each sequence: every one of `lengths` is as likely."""
    place = stream.integers("length", index, 1, below=len(lengths))[0]
    return place * lengths.step + lengths.start


def length_of(inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "batch"]:
    """Return how many tokens of each sequence are not blank."""
    return (inputs != BLANK).sum(dim=0)


def steps(time: int, like: Tensor) -> Int[Tensor, "{time} 1"]:
    """Return the numbers of the steps as a column, on the device of `like`."""
    return torch.arange(time, device=like.device).unsqueeze(1)


def with_blanks(
    symbols: Int[Tensor, "count batch"], length: Int[Tensor, "batch"], *, time: int
) -> Int[Tensor, "{time} batch"]:
    """Return token ids: of each sequence its first `length` symbols, then blanks."""
    count = len(symbols)
    inputs = symbols.new_zeros((time, symbols.shape[1]))  # BLANK
    torch.add(symbols, FIRST_SYMBOL, out=inputs[:count])
    inputs[:count].masked_fill_(steps(count, length) >= length, BLANK)
    return inputs


def at_step(
    value: Int[Tensor, "batch"], asked: Bool[Tensor, "time batch"]
) -> Int[Tensor, "time batch"]:
    """Return targets that are `value` where it is asked, and 0 elsewhere."""
    return asked * value


def packed_bits(
    stream: Stream, purpose: str, index: Int[Tensor, "batch"], count: int
) -> Int[Tensor, "words batch"]:
    """Return enough words of 31 fair bits to hold `count`; the lowest bit comes first."""
    return stream.integers(purpose, index, -(-count // _PACKED), below=2**_PACKED)


def unpacked(words: Int[Tensor, "words batch"], count: int) -> Int[Tensor, "{count} batch"]:
    """Return the first `count` bits of packed words."""
    places = torch.arange(_PACKED, device=words.device).view(1, _PACKED, 1)
    bits = (words.unsqueeze(1) >> places).bitwise_and_(1)
    return bits.view(-1, words.shape[1])[:count]


def fair_bits(
    stream: Stream, purpose: str, index: Int[Tensor, "batch"], count: int
) -> Int[Tensor, "{count} batch"]:
    """Return `count` fair bits for each sequence, 31 to a word of the stream."""
    return unpacked(packed_bits(stream, purpose, index, count), count)
