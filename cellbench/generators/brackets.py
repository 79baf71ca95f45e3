"""Bracketed expressions of a given length: where they split, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.arithmetic import scaled
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream

PLUS, MINUS, TIMES = 0, 1, 2
OPERATORS = 3
OPEN, CLOSE = 3, 4
SIGNS = "+-*()"  # ids of signs follow those of the digits
NO_SPLIT = 4  # tokens of the longest expression that is one digit: (-3)


class Expression(NamedTuple):
    """An expression a column.

    Attributes:
        ids: Digits, then the signs in the order of `SIGNS`; 0 after the end.
        value: What the expression is worth.
        digit: Where a token is a digit.
    """

    ids: Int[Tensor, "time batch"]
    value: Int[Tensor, "batch"]
    digit: Tensor


class _Tree(NamedTuple):
    """How the tokens hang together.

    Attributes:
        start, size: The smallest expression each token is of: a digit, with its sign.
        sign: PLUS to CLOSE where a token belongs to a pair of operands, else -1.
        right: At the opening bracket of a pair, where the second operand starts; else 0.
    """

    start: Tensor
    size: Tensor
    sign: Tensor
    right: Tensor


def drawn(
    stream: Stream,
    index: Int[Tensor, "batch"],
    length: Int[Tensor, "batch"],
    *,
    longest: int,
    free: int,
    modulus: int,
    operators: int,
) -> Expression:
    """Draw an expression of `length` tokens for each sequence.

    One of 1 to 4 tokens is d, -d, (d), (-d). A longer one is (x o y), and x has from 1 token
    to all but one of those left: each number is as likely as another down to a nesting of
    `free`, and half of them (rounded down) below. So no more passes are needed than that
    many, and as many as one can halve.
    """
    fine = stream.integers("splits", index, longest, below=2**31)
    signs = stream.integers("operators", index, longest, below=operators)
    digits = stream.integers("digits", index, longest, below=modulus)
    tree = _split(fine, signs, length, free)
    at = torch.where(tree.size <= 2, tree.size - 1, tree.size - 2)  # noqa: PLR2004 -- d, and -d
    digit = (tree.size > 0) & (steps(longest, index) - tree.start == at)
    ids = torch.where(digit, digits, modulus + _signs(tree))
    ids = ids.where(steps(longest, index) < length, 0)
    shown = digits.gather(0, (steps(longest, index) + at).clamp(0, longest - 1))
    negative = (tree.size == 2) | (tree.size == NO_SPLIT)  # noqa: PLR2004 -- -d, and (-d)
    worth = torch.where(negative, modulus - shown, shown) % modulus
    value = _worth(worth, signs, tree, _passes(longest, free), modulus)
    return Expression(ids, value, digit)


def _signs(tree: _Tree) -> Tensor:
    """Return the sign of each token that is not a digit."""
    place = steps(len(tree.start), tree.start) - tree.start
    wrapped = tree.size > 2  # noqa: PLR2004 -- (d), and (-d)
    closes = torch.where(wrapped & (place == tree.size - 1), CLOSE, MINUS)
    own = torch.where(wrapped & (place == 0), OPEN, closes)
    return torch.where(tree.sign >= 0, tree.sign, own)


def _passes(longest: int, free: int) -> int:
    """Return how deep pairs of operands can be nested."""
    found = 0
    while longest > NO_SPLIT:
        longest = longest - NO_SPLIT if found < free else longest - 3 - (longest - 3) // 2
        found += 1
    return found


def _split(fine: Tensor, signs: Tensor, length: Tensor, free: int) -> _Tree:
    """Split all expressions of one nesting at a time, in all sequences at once."""
    step = steps(len(fine), fine)
    start, right = torch.zeros_like(fine), torch.zeros_like(fine)
    sign = torch.full_like(fine, -1)
    size = torch.where(step < length, length, 0)
    for nesting in range(_passes(len(fine), free)):
        whole = size > NO_SPLIT
        left = (size - 3) >> 1
        if nesting < free:
            left = 1 + scaled(fine.gather(0, start), size - NO_SPLIT)
        place = step - start
        second = place > left + 1
        operator, opens, closes = place == left + 1, place == 0, place == size - 1
        right = torch.where(whole & opens, start + left + 2, right)
        found = torch.where(opens, OPEN, torch.where(closes, CLOSE, signs))
        mark = whole & (opens | closes | operator)
        sign = torch.where(mark, found, sign)
        start = torch.where(whole, start + torch.where(second, left + 2, 1), start)
        size = torch.where(whole, torch.where(second, size - 3 - left, left), size)
        size = size.masked_fill(mark, 0)
        start = torch.where(mark, step, start)
    return _Tree(start, size, sign, right)


def _worth(value: Tensor, signs: Tensor, tree: _Tree, passes: int, modulus: int) -> Tensor:
    """Return what whole expressions are worth, from the innermost outwards.

    After each pass one more nesting is right; the outermost last.
    """
    pair = tree.right > 0
    operator = signs.gather(0, (tree.right - 1).clamp(min=0))
    for _ in range(passes):
        first, second = value.roll(-1, 0), value.gather(0, tree.right)
        value = torch.where(pair, combined(operator, first, second, modulus), value)
    return value[0]


def combined(operator: Tensor, first: Tensor, second: Tensor, modulus: int) -> Tensor:
    """Return first + second, first - second or first * second."""
    signed = torch.where(operator == MINUS, modulus - second, second)
    return torch.where(operator == TIMES, first * second, first + signed) % modulus


def matched(ids: Int[Tensor, "time batch"], opens: int, closes: int) -> Int[Tensor, "time batch"]:
    """Return for each opening bracket where it is closed; elsewhere a step without meaning.

    Sorted by how deep they are, and then by where they are, brackets come in pairs.
    """
    up, down = ids == opens, ids == closes
    depth = (up.long() - down.long()).cumsum(dim=0) + down
    order = torch.where(up | down, depth, len(ids)).argsort(dim=0, stable=True)
    return torch.zeros_like(ids).scatter_(0, order, order.roll(-1, 0))


def values(ids: Int[Tensor, "time batch"], modulus: int, passes: int) -> Int[Tensor, "batch"]:
    """Return what the expressions are worth that stand at the first steps, by reading them."""
    opens, minus = modulus + OPEN, modulus + MINUS
    step = steps(len(ids), ids)
    ends = torch.where(ids == opens, matched(ids, opens, modulus + CLOSE), step)
    last = len(ids) - 1
    inner = (step + 1).clamp(max=last).expand_as(ids)  # what is in brackets, or negated
    ends = torch.where(ids == minus, ends.gather(0, inner), ends)
    after = (ends.gather(0, inner) + 1).clamp(max=last)  # an operator or the closing bracket
    operator = ids.gather(0, after) - modulus
    second = (after + 1).clamp(max=last)
    value = torch.where(ids < modulus, ids, 0)
    for _ in range(passes):
        first = value.gather(0, inner)
        pair = combined(operator, first, value.gather(0, second), modulus)
        wrapped = torch.where(operator < OPERATORS, pair, first)
        value = torch.where(ids == opens, wrapped, value)
        value = torch.where(ids == minus, (modulus - first) % modulus, value)
    return value[0]


def law(longest: int, free: int, modulus: int, operators: Sequence[int]) -> Tensor:
    """Return the odds of every value for every length, `[length, value]`; row 0 is of no use."""
    table = torch.zeros((modulus, modulus, modulus), dtype=torch.float64)
    residue = torch.arange(modulus)
    for operator in operators:
        result = combined(
            torch.tensor(operator), residue.unsqueeze(1), residue.unsqueeze(0), modulus
        )
        table += torch.nn.functional.one_hot(result, modulus).double() / len(operators)
    odds = torch.full((longest + 1, modulus), 1 / modulus, dtype=torch.float64)
    for length in range(NO_SPLIT + 1, longest + 1):
        left = (length - 3) // 2
        odds[length] = torch.einsum("a,b,abr->r", odds[left], odds[length - 3 - left], table)
    for _ in range(free):
        inner, odds = odds, odds.clone()
        for length in range(NO_SPLIT + 1, longest + 1):
            some = inner[1 : length - 3]
            odds[length] = torch.einsum("ab,abr->r", some.T @ some.flip(0), table) / len(some)
    return odds
