"""Digit addition: read a sum as text, and write its result."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole_between

GLYPHS = ".0123456789+="
END, ZERO, PLUS, EQUALS = (GLYPHS.index(one) for one in ".0+=")
ORDERS = ("written", "reversed")
LOSSES = ("answer", "all")
_BASE = 10
_MOST_DIGITS = 17  # a sum of two still fits in int64

Odds = list[list[list[float]]]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DigitAddition(Generator):
    """Show the sum of two numbers character by character, and ask for the next one.

    With digits=3, order=written, loss=answer, sequence 0 of the training stream:

        input   3 9 + 4 = 4 3 . . . . .
        target  - - - - 4 3 . - - - - -

    The target is the character that comes next; from `=` on it is scored, to the `.` after the
    result, which also fills what is left. Each character of the result is shown after it was
    asked for, right or wrong. A number has 1 to `digits` digits, all lengths equally likely,
    and any digits of that length; none starts with 0 but 0 itself.

    Whoever sees no character still knows where `=` is, and so how many digits both numbers
    have together, and may guess where the result ends, and that it starts with a small digit.

    Source: Zaremba & Sutskever 2014, "Learning to Execute", arXiv:1410.4615.
    Differs from it: a sum stands alone, where there it is a line of a program, print(...); of
    programs, there are none here. order=reversed is not from there.

    Attributes:
        digits: Of a number, at most.
        order: Of the result: as `written`, or `reversed`, the last digit first, so that a
            carry has one step to go.
        loss: Where the loss looks: at the `answer`, or `all`: at every next character.
    """

    digits: int
    order: str
    loss: str

    def __post_init__(self) -> None:
        whole_between("digits", self.digits, low=1, high=_MOST_DIGITS)
        choice("order", self.order, ORDERS)
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return Tokens(len(GLYPHS), GLYPHS)

    @property
    def answers(self) -> Answers:
        return Tokens(len(GLYPHS), GLYPHS)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        (first, one), (second, two) = (self._number(stream, index, n) for n in ("one", "two"))
        powers = _powers(self.digits + 1, first)
        total = ((first + second) * powers[: self.digits]).sum(0)
        result = total // powers % _BASE
        size = 1 + (total >= powers[1:]).sum(0)
        equals = one + two + 1
        step = torch.arange(3 * self.digits + 4, device=index.device).unsqueeze(1)
        text = torch.where(step == one, PLUS, torch.where(step == equals, EQUALS, END))
        text = _put(text, first, one - 1 - step, one)
        text = _put(text, second, equals - 1 - step, two)
        since = step - equals - 1
        text = _put(text, result, self._place(since, size), size)
        step = step[:-1]
        until = step <= equals + size
        scored = until & (step >= equals)
        return Batch(text[:-1], text[1:], scored, scored if self.loss == "answer" else until)

    def trivial(self) -> float:
        return _trivial(self.digits, self.order)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Add place by place what stands before `=`: a carry comes from the last place not 9."""
        plus, equals = ((inputs == sign).byte().argmax(0) for sign in (PLUS, EQUALS))
        place = torch.arange(self.digits + 1, device=inputs.device).unsqueeze(1)
        sums = _read(inputs, plus - 1 - place, 0) + _read(inputs, equals - 1 - place, plus + 1)
        decided = torch.where(sums == _BASE - 1, 0, 2 * (place + 1) + (sums >= _BASE))
        carried = decided.cummax(0).values % 2
        carry = torch.cat([torch.zeros_like(carried[:1]), carried[:-1]])
        result = (sums + carry) % _BASE
        size = torch.where(result > 0, place + 1, 1).amax(0)
        since = steps(len(inputs), inputs) - equals
        follows = torch.cat([inputs[1:], torch.full_like(inputs[:1], END)])
        answer = _put(torch.full_like(inputs, END), result, self._place(since, size), size)
        return torch.where(since < 0, follows, answer)

    def at_length(self, length: int) -> DigitAddition:
        """Return the task of numbers with up to so many digits."""
        return replace(self, digits=length)

    def _number(
        self, stream: Stream, index: Int[Tensor, "batch"], name: str
    ) -> tuple[Int[Tensor, "digits batch"], Int[Tensor, "batch"]]:
        """Return the digits of a number, ones first, and how many there are."""
        size = 1 + stream.integers(f"size of {name}", index, 1, below=self.digits)
        digits = stream.integers(f"digits of {name}", index, self.digits, below=_BASE)
        leading = 1 + stream.integers(f"leading digit of {name}", index, 1, below=_BASE - 1)
        place = steps(len(digits), digits)
        digits = torch.where((place == size - 1) & (place > 0), leading, digits)
        return torch.where(place < size, digits, 0), size[0]

    def _place(
        self, since: Int[Tensor, "time batch"], size: Int[Tensor, "batch"]
    ) -> Int[Tensor, "time batch"]:
        """Return which place of the result is written so many characters after its first."""
        return since if self.order == "reversed" else size - 1 - since


def _powers(count: int, like: Tensor) -> Int[Tensor, "count 1"]:
    return like.new_tensor([_BASE**place for place in range(count)]).unsqueeze(1)


def _put(
    text: Int[Tensor, "time batch"],
    digits: Int[Tensor, "places batch"],
    place: Int[Tensor, "time batch"],
    size: Int[Tensor, "batch"],
) -> Int[Tensor, "time batch"]:
    """Write the digit of its place at each step that has one."""
    written = ZERO + digits.gather(0, place.clamp(0, len(digits) - 1))
    return torch.where((place >= 0) & (place < size), written, text)


def _read(
    text: Int[Tensor, "time batch"],
    step: Int[Tensor, "places batch"],
    first: Int[Tensor, "batch"] | int,
) -> Int[Tensor, "places batch"]:
    """Return the digits at these steps; 0 for those before the `first`."""
    return torch.where(step >= first, text.gather(0, step.clamp(min=0)) - ZERO, 0)


# --- what is known without seeing a character ---------------------------------------------


@functools.lru_cache(maxsize=64)
def _trivial(digits: int, order: str) -> float:
    """Return the accuracy of the likeliest character at each step, given where `=` is."""
    right, asked = 0.0, 0.0
    for both in range(2, 2 * digits + 1):
        sizes = [(n, both - n) for n in range(1, digits + 1) if 1 <= both - n <= digits]
        odds = [[0.0] * (_BASE + 1) for _ in range(digits + 2)]  # by character since `=`
        for one, two in sizes:
            for carried in (0, 1):
                _count(odds, _places(one, two), max(one, two), carried, order)
        right += sum(map(max, odds))
        asked += sum(map(sum, odds))
    return right / asked


def _count(odds: list[list[float]], places: Odds, size: int, carried: int, order: str) -> None:
    """Add the odds of each character of the results with, or without, a last carry."""
    length = size + carried
    for place in range(length):
        since = place if order == "reversed" else length - 1 - place
        for digit, share in enumerate(places[place][carried]):
            odds[since][digit] += share
    odds[length][_BASE] += sum(places[0][carried])  # the end


@functools.lru_cache(maxsize=1024)
def _places(one: int, two: int) -> Odds:
    """Return the odds of [place, last carry, digit] for numbers of so many digits."""
    size = max(one, two)
    sums = [_sums(_kind(place, one), _kind(place, two)) for place in range(size)]
    ahead = [[[1.0, 0.0], [0.0, 1.0]]]  # [carry in, last carry], of the places from there on
    for odds in reversed(sums):
        ahead.insert(0, [_ahead(odds, carry, ahead[0]) for carry in (0, 1)])
    carries, found = [1.0, 0.0], []
    for place, odds in enumerate(sums):
        table = [[0.0] * _BASE, [0.0] * _BASE]
        after = [0.0, 0.0]
        for carry in (0, 1):
            for total, share in enumerate(odds, carry):
                out, digit = divmod(total, _BASE)
                after[out] += carries[carry] * share
                for last in (0, 1):
                    table[last][digit] += carries[carry] * share * ahead[place + 1][out][last]
        carries = after
        found.append(table)
    return [*found, [[0.0] * _BASE, [0.0, carries[1], *([0.0] * (_BASE - 2))]]]


def _ahead(odds: list[float], carry: int, ahead: list[list[float]]) -> list[float]:
    return [
        sum(share * ahead[total // _BASE][last] for total, share in enumerate(odds, carry))
        for last in (0, 1)
    ]


def _kind(place: int, size: int) -> str:
    if place >= size:
        return "none"
    return "leading" if place == size - 1 and size > 1 else "any"


_DIGITS = {
    "none": [1.0] + [0.0] * (_BASE - 1),
    "any": [1 / _BASE] * _BASE,
    "leading": [0.0] + [1 / (_BASE - 1)] * (_BASE - 1),
}


@functools.lru_cache(maxsize=9)
def _sums(one: str, two: str) -> list[float]:
    """Return the odds of the sum of two digits."""
    found = [0.0] * (2 * _BASE - 1)
    for first, p in enumerate(_DIGITS[one]):
        for second, q in enumerate(_DIGITS[two]):
            found[first + second] += p * q
    return found
