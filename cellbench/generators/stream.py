"""Randomness with nothing to use up: a number is a function of where it stands."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.options import choice, whole

SPLITS = ("train", "validation", "test")
"""Sequences to learn from, to choose by, and to report on."""

Words = tuple[Tensor, Tensor, Tensor, Tensor]
"""32-bit words, held in int64."""


def _constant(value: int) -> Tensor:
    """Return `value` as a CPU scalar: it goes with any device, and a Python number costs more."""
    return torch.tensor(value, device="cpu")


_LOW = 0xFFFFFFFF
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_LOWER_HALF, _HALF = _constant(_LOW), _constant(32)
_M0, _M1 = _constant(0xD2511F53), _constant(0xCD9E8D57)
_ROUNDS = 10
_MAX_BELOW = 2**31  # a word times this still fits in int64
_CPU_BLOCKS = 16_384  # what is worked on at a time: five tensors of 128 KiB stay in the cache


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Return the four words that Philox 4x32-10 makes of four counter words and two key words.

    The words of the counter need only broadcast: in the first two rounds, what depends on
    one axis is computed along that axis alone. A product of two words wraps modulo 2**64,
    and its bits are still right; it stands for its own lower half, and the upper bits are
    cleared before it is multiplied again.

    Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3".
    Differs from it: in nothing.
    """
    a, b, c, d = counter
    keys = _round_keys(key)
    for k0, k1 in keys[:2]:
        p, q = a * _M0, c * _M1
        a, b = ((q >> _HALF) ^ k0 ^ b) & _LOWER_HALF, q
        c, d = ((p >> _HALF) ^ k1 ^ d) & _LOWER_HALF, p
    upper = a ^ d  # its shape: by now these two depend on every word of the counter
    a, b, c, d = (word.expand_as(upper).contiguous() for word in (a, b, c, d))
    for k0, k1 in keys[2:]:  # in place, since the four are our own
        a.mul_(_M0)
        c.mul_(_M1)
        torch.bitwise_right_shift(c, _HALF, out=upper)
        b.bitwise_xor_(upper).bitwise_xor_(k0).bitwise_and_(_LOWER_HALF)
        torch.bitwise_right_shift(a, _HALF, out=upper)
        d.bitwise_xor_(upper).bitwise_xor_(k1).bitwise_and_(_LOWER_HALF)
        a, b, c, d = b, c, d, a
    return a, b.bitwise_and_(_LOWER_HALF), c, d.bitwise_and_(_LOWER_HALF)


@functools.lru_cache(maxsize=64)
def _round_keys(key: tuple[int, int]) -> tuple[tuple[Tensor, Tensor], ...]:
    k0, k1 = key
    s0, s1 = _KEY_STEPS
    return tuple(
        (_constant((k0 + turn * s0) & _LOW), _constant((k1 + turn * s1) & _LOW))
        for turn in range(_ROUNDS)
    )


@functools.lru_cache(maxsize=256)
def _hashed(name: str) -> int:
    """Return a word that stands for `name` on every machine, as `hash` would not."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


@final
class Stream:
    """The numbers of one split under one seed.

    A number is a function of (seed, split, sequence, purpose, position). Nothing is used
    up: it is the same on CPU and CUDA, in any batch size and order, for any number of
    workers, and after a resume. Asking for more numbers, or for another purpose, moves none.

    In Philox's terms: the key is (seed, hash of the split); the counter is (lower half of
    the sequence's index, upper half, which four positions, hash of the purpose).

    Args:
        seed: From 0 to 2**32 - 1.
        split: train, validation or test: three streams that share no number.
    """

    __slots__ = ("_key", "seed", "split")

    def __init__(self, seed: int, split: str) -> None:
        whole("seed", seed, low=0)
        if seed > _LOW:
            raise OptionError(f"seed must be at most {_LOW}, not {seed}.")
        choice("split", split, SPLITS)
        self.seed = seed
        self.split = split
        self._key = (seed, _hashed(split))

    def __repr__(self) -> str:
        return f"Stream({self.seed}, {self.split!r})"

    def integers(
        self,
        purpose: str,
        index: Int[Tensor, "batch"],
        count: int,
        *,
        below: int | Sequence[int],
    ) -> Int[Tensor, "{count} batch"]:
        """Return `count` integers from 0 to `below - 1` for each sequence of `index`.

        `below` is at most 2**31: one number, or one for each of the `count`. No integer is
        likelier than another by more than `below / 2**32` of its chance.
        """
        words = self._words(purpose, index, count)
        if isinstance(below, int):
            words.mul_(_checked(below))
        else:
            for row, bound in zip(words, below, strict=True):
                row.mul_(_checked(bound))
        return words.bitwise_right_shift_(32)

    def uniform(
        self,
        purpose: str,
        index: Int[Tensor, "batch"],
        count: int,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "{count} batch"]:
        """Return `count` numbers of [0, 1) for each sequence of `index`.

        They are multiples of 2**-24, so that float32 and float64 hold the same ones.
        """
        if dtype not in {torch.float32, torch.float64}:
            raise OptionError(f"dtype must be torch.float32 or torch.float64, not {dtype}.")
        words = self._words(purpose, index, count).bitwise_right_shift_(8)
        return words.to(dtype).mul_(2.0**-24)

    def choose(
        self, purpose: str, index: Int[Tensor, "batch"], count: int, *, out_of: int
    ) -> Int[Tensor, "{count} batch"]:
        """Return `count` different integers from 0 to `out_of - 1`, in random order.

        With `count` equal to `out_of`, a permutation. It sorts `out_of` numbers a sequence.
        """
        if not 0 <= count <= out_of:
            raise OptionError(f"Cannot choose {count} different integers out of {out_of}.")
        keys = self._words(purpose, index, out_of)
        return keys.argsort(dim=0, stable=True)[:count]

    def _words(
        self, purpose: str, index: Int[Tensor, "batch"], count: int
    ) -> Int[Tensor, "{count} batch"]:
        """Return `count` words for each sequence of `index`, made four at a time."""
        rows = -(-count // 4)
        out = index.new_empty((rows, 4, len(index)))
        low, high = index & _LOWER_HALF, index >> _HALF
        blocks = torch.arange(rows, device=index.device).unsqueeze(1)
        for part in _passes(rows, index):
            counter = (low, high, blocks[part], _constant(_hashed(purpose)))
            for place, word in enumerate(philox(counter, self._key)):
                out[part, place] = word
        return out.view(4 * rows, len(index))[:count]


def _checked(below: int) -> int:
    if not 1 <= below <= _MAX_BELOW:
        raise OptionError(f"below must be from 1 to {_MAX_BELOW}, not {below}.")
    return below


def _passes(rows: int, index: Tensor) -> list[slice]:
    """Cut `rows` to what a CPU's cache holds; elsewhere fewer, larger steps are faster."""
    step = rows if index.device.type != "cpu" else _CPU_BLOCKS // max(len(index), 1)
    step = max(step, 1)
    return [slice(start, start + step) for start in range(0, rows, step)]
