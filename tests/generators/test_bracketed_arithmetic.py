"""Bracketed arithmetic: as Python evaluates it, split as told, and a baseline counted out."""

from __future__ import annotations

import collections
import itertools

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.bracketed_arithmetic import BracketedArithmetic
from cellbench.generators.stream import Stream

GLYPHS = "01234+-*()."


def make(shortest=1, longest=12, free=12, modulus=5, operators="+-*"):
    return BracketedArithmetic(
        shortest=shortest, longest=longest, free=free, modulus=modulus, operators=operators
    )


def texts(batch):
    return ["".join(GLYPHS[i] for i in column) for column in batch.inputs.T.tolist()]


def encoded(*shown):
    time = max(map(len, shown)) + 1
    return torch.tensor([[GLYPHS.index(c) for c in one.ljust(time, ".")] for one in shown]).T


def answers(generator, *shown):
    inputs = encoded(*shown)
    found = generator.oracle(inputs)
    return [int(found[len(one), n]) for n, one in enumerate(shown)]


def test_by_hand() -> None:
    """3 - 4 * 2 is -5, so 0; -(-1) is no expression here, but (-1) is 4."""
    assert answers(make(1, 11), "(3-(4*2))", "(-1)", "((-1)*-2)", "3") == [0, 4, 2, 3]


@pytest.mark.parametrize(
    ("shortest", "longest", "free"),
    [(1, 1, 0), (1, 13, 12), (90, 90, 3), (1, 150, 12), (40, 60, 0)],
)
def test_expressions_are_worth_what_python_says(shortest, longest, free) -> None:
    generator = make(shortest, longest, free)
    batch = generator.sample(Stream(0, "test"), torch.arange(60))

    for column, text in enumerate(texts(batch)):
        shown = text.rstrip(".")
        assert shortest <= len(shown) <= longest
        assert batch.scored[:, column].nonzero().flatten().tolist() == [len(shown)]
        assert batch.targets[len(shown), column] == eval(shown) % 5  # noqa: S307 -- our own text
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def test_the_oracle_goes_as_deep_as_brackets_can() -> None:
    deep = "(1+" * 20 + "1" + ")" * 20

    assert answers(make(1, len(deep)), deep) == [1]  # 21 ones


@pytest.mark.parametrize(("free", "lefts"), [(12, [1, 2, 3, 4, 5]), (0, [3])])
def test_a_pair_splits_as_told(free, lefts) -> None:
    """Of nine tokens, six are of the operands; halves are rounded down."""
    batch = make(9, 9, free).sample(Stream(0, "train"), torch.arange(6000))
    sizes = collections.Counter()
    for text in texts(batch):
        depth = list(itertools.accumulate((c == "(") - (c == ")") for c in text))
        signs = (n for n, c in enumerate(text) if depth[n] == 1 and c in "+-*" and n > 1)
        operator = next(signs)
        sizes[operator - 1] += 1

    assert sorted(sizes) == lefts
    assert all(abs(count - 6000 / len(lefts)) < 150 for count in sizes.values())


def counted(length, free):
    """Return the odds of every value, from all that may be drawn."""
    if length <= 4:
        return dict.fromkeys(range(5), 0.2)
    lefts = range(1, length - 3) if free else [(length - 3) // 2]
    odds = dict.fromkeys(range(5), 0.0)
    for left in lefts:
        one, other = (counted(n, max(free - 1, 0)) for n in (left, length - 3 - left))
        for a, b, c in itertools.product(range(5), range(5), range(3)):
            odds[(a + b, a - b, a * b)[c] % 5] += one[a] * other[b] / 3 / len(lefts)
    return odds


@pytest.mark.parametrize(("length", "free"), [(1, 1), (5, 1), (9, 12), (14, 1), (14, 0), (16, 12)])
def test_the_baseline_is_the_likeliest_value(length, free) -> None:
    expected = max(counted(length, free).values())

    assert make(length, length, free).trivial() == pytest.approx(expected, abs=1e-12)


def test_the_baseline_by_hand() -> None:
    """Of 75 pairs of digits with their operators, 5 + 5 + 9 are worth 0."""
    assert make(5, 5).trivial() == pytest.approx(19 / 75)
    assert make(1, 5).trivial() == pytest.approx((4 * 0.2 + 19 / 75) / 5)
    assert make(1, 5).at_length(300) == make(300, 300)


def test_without_products_all_values_are_alike() -> None:
    generator = make(1, 30, operators="+-")
    batch = generator.sample(Stream(0, "train"), torch.arange(200))

    assert "*" not in "".join(texts(batch))
    assert generator.trivial() == pytest.approx(0.2, abs=1e-12)
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shortest": 0}, "shortest must be a whole number of at least 1, not 0"),
        ({"shortest": 13}, "shortest must be a whole number from 1 to longest=12, not 13"),
        ({"longest": 0}, "longest must be a whole number of at least 1, not 0"),
        ({"free": -1}, "free must be a whole number of at least 0, not -1"),
        ({"modulus": 11}, "modulus must be a whole number from 2 to ten digits=10, not 11"),
        ({"operators": "+*"}, r"operators must be one of \+-, \+-\*, not '\+\*'"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(**settings)
