"""Modular arithmetic: the value of a long sum of products, modulo 5."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import (
    FIRST_SYMBOL,
    at_step,
    draw_lengths,
    length_of,
    odd_lengths,
    steps,
    with_blanks,
)
from cellbench.generators.stream import Stream

MODULUS = 5
_PLUS, _MINUS, _TIMES = range(3)
_NOTHING = 3  # an operator that leaves everything as it is
_EXPONENTS = (0, 0, 1, 3, 2)  # of 2, for 1, 2, 3 and 4; none for 0
_POWERS = (1, 2, 4, 3)  # of 2


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ModularArithmetic(Generator):
    """Show digits with +, - and * between them, and ask for the value modulo 5.

    With shortest=5, longest=9, sequence 5 of the training stream:

        input   2 + 4 * 0 * 2 + 3 .
        target  - - - - - - - - - 0

    Token ids: 0 blank (`.`), 1 to 5 the digits 0 to 4, 6 `+`, 7 `-`, 8 `*`. Classes are the
    values. There are no brackets, and * binds tighter. Digits are equally likely, and so are
    the three operators. Every sequence draws its own length; blanks follow it, and the answer
    stands on the first.

    Source: Deletang et al. 2022, arXiv:2207.02098.
    Differs from it: lengths are drawn for each sequence and not for each batch. A length is
    drawn among the odd ones; the source shortens an even one by a token.

    Attributes:
        shortest: Tokens of the shortest sequence, digits and operators.
        longest: Tokens of the longest; every odd length between is as likely.
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        odd_lengths(self.shortest, self.longest)

    @property
    def reads(self) -> Reads:
        return Tokens(FIRST_SYMBOL + MODULUS + 3, ".01234+-*")

    @property
    def answers(self) -> Answers:
        return Tokens(MODULUS)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        lengths = odd_lengths(self.shortest, self.longest)
        length, count = draw_lengths(stream, index, lengths), lengths[-1] // 2
        digits = stream.integers("digits", index, count + 1, below=MODULUS)
        operators = stream.integers("operators", index, count, below=3)
        symbols = index.new_empty((lengths[-1], len(index)))
        symbols[0::2] = digits
        symbols[1::2] = operators + MODULUS
        inputs = with_blanks(symbols, length, time=lengths[-1] + 1)
        shown = steps(count, index) < length // 2
        value = _value(digits.short(), torch.where(shown, operators.short(), _NOTHING))
        scored = steps(lengths[-1] + 1, length) == length
        return Batch(inputs, at_step(value.long(), scored), scored, scored)

    def trivial(self) -> float:
        """Return how likely the likeliest value is, by following all odds digit by digit."""
        lengths = odd_lengths(self.shortest, self.longest)
        likeliest = _likeliest(lengths[-1] // 2 + 1)
        return sum(likeliest[length // 2] for length in lengths) / len(lengths)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Cut the sequence into products, and multiply by adding exponents of 2."""
        digits = inputs[0:-1:2] - FIRST_SYMBOL
        operators = inputs[1:-1:2] - FIRST_SYMBOL - MODULUS
        starts = (operators == _PLUS) | (operators == _MINUS)
        product = torch.zeros_like(digits)  # which one each digit belongs to
        product[1:] = starts.cumsum(dim=0)
        zeros = torch.zeros_like(digits)
        exponents = inputs.new_tensor(_EXPONENTS)[digits.clamp(min=0)]
        added = zeros.scatter_add(0, product, exponents)
        nil = zeros.scatter_add(0, product, (digits == 0).long()) > 0
        minus = zeros.scatter_add(0, product[1:], (operators == _MINUS).long())
        values = inputs.new_tensor(_POWERS)[added % (MODULUS - 1)] * (1 - 2 * minus)
        used = steps(len(digits), inputs) <= product.amax(dim=0)
        total = torch.where(used & ~nil, values, 0).sum(dim=0) % MODULUS
        return at_step(total, steps(len(inputs), inputs) == length_of(inputs))

    def at_length(self, length: int) -> Generator:
        return dataclasses.replace(self, shortest=length, longest=length)


class _Maps(NamedTuple):
    """What tokens do to (a, p), a the sum of finished products, p the one that goes on.

    a becomes a + finish * p + more; p becomes factor * p + fresh.
    """

    finish: Int[Tensor, "count batch"]
    more: Int[Tensor, "count batch"]
    factor: Int[Tensor, "count batch"]
    fresh: Int[Tensor, "count batch"]


def _value(
    digits: Int[Tensor, "digits batch"], operators: Int[Tensor, "operators batch"]
) -> Int[Tensor, "batch"]:
    """Return the value modulo 5: every operator with its digit is a map; join them in pairs."""
    first, rest = digits[0], digits[1:]
    times, plus, minus = operators == _TIMES, operators == _PLUS, operators == _MINUS
    finishes = plus | minus
    maps = _Maps(
        finish=finishes.short(),
        more=torch.zeros_like(rest),
        factor=torch.where(times, rest, (~finishes).short()),
        fresh=torch.where(plus, rest, 0) + torch.where(minus, MODULUS - rest, 0),
    )
    while len(maps.factor) > 1:
        maps = _joined(maps)
    if not len(maps.factor):
        return first
    finish, more, factor, fresh = (part[0] for part in maps)
    return (finish * first + more + factor * first + fresh) % MODULUS


def _joined(maps: _Maps) -> _Maps:
    """Return each pair of neighbours as one map, and one without a neighbour as it is."""
    count = len(maps.factor) // 2 * 2
    one, two = (_Maps(*(part[turn:count:2] for part in maps)) for turn in (0, 1))
    pairs = _Maps(
        finish=(one.finish + two.finish * one.factor) % MODULUS,
        more=(one.more + two.finish * one.fresh + two.more) % MODULUS,
        factor=two.factor * one.factor % MODULUS,
        fresh=(two.factor * one.fresh + two.fresh) % MODULUS,
    )
    if count == len(maps.factor):
        return pairs
    return _Maps(*(torch.cat([pair, part[-1:]]) for pair, part in zip(pairs, maps, strict=True)))


@functools.lru_cache(maxsize=64)
def _likeliest(digits: int) -> tuple[float, ...]:
    """Return how likely the likeliest value is of 1, 2, up to `digits` digits."""
    odds = torch.zeros(MODULUS, MODULUS, dtype=torch.float64)  # of (a, p)
    odds[0] = 1 / MODULUS
    step = _step_odds()
    found = []
    for _ in range(digits):
        value = sum(odds.roll(p, 0)[:, p] for p in range(MODULUS))  # a + p
        assert isinstance(value, Tensor)  # noqa: S101 -- the sum is not of nothing
        found.append(float(value.max()))
        odds = (odds.view(-1) @ step).view(MODULUS, MODULUS)
    return tuple(found)


def _step_odds() -> Float[Tensor, "from to"]:
    """Return the odds of each (a, p) after an operator and a digit, given those before."""
    step = torch.zeros([MODULUS] * 4, dtype=torch.float64)
    for a in range(MODULUS):
        for p in range(MODULUS):
            for digit in range(MODULUS):
                step[a, p, a, p * digit % MODULUS] += 1
                step[a, p, (a + p) % MODULUS, digit] += 1
                step[a, p, (a + p) % MODULUS, -digit % MODULUS] += 1
    return step.view(MODULUS**2, -1) / (3 * MODULUS)
