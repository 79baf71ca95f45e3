"""Solve equation: the digit, put in place of x, makes the equation true, and no other does."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.solve_equation import SolveEquation
from cellbench.generators.stream import Stream

GLYPHS = "01234+-x()=."


def make(shortest=3, longest=14, free=12, modulus=5):
    return SolveEquation(shortest=shortest, longest=longest, free=free, modulus=modulus)


def texts(batch):
    return ["".join(GLYPHS[i] for i in column) for column in batch.inputs.T.tolist()]


def test_by_hand() -> None:
    """2 - (4 - x) = 1: x = 3. 0 - (-x) = 4: x = 4."""
    shown = ["(2-(4-x))=1", "(0-(-x))=4"]
    inputs = torch.tensor([[GLYPHS.index(c) for c in one.ljust(12, ".")] for one in shown]).T
    found = make(3, 11).oracle(inputs)

    assert (int(found[11, 0]), int(found[10, 1])) == (3, 4)


@pytest.mark.parametrize(
    ("shortest", "longest", "free"), [(3, 3, 0), (3, 15, 12), (90, 90, 3), (3, 150, 12)]
)
def test_one_digit_solves_it(shortest, longest, free) -> None:
    generator = make(shortest, longest, free)
    batch = generator.sample(Stream(0, "test"), torch.arange(60))

    for column, text in enumerate(texts(batch)):
        shown = text.rstrip(".")
        left, right = shown.split("=")
        assert shortest <= len(shown) <= longest
        assert left.count("x") == 1
        assert batch.scored[:, column].nonzero().flatten().tolist() == [len(shown)]
        worth = [eval(left.replace("x", str(d))) % 5 for d in range(5)]  # noqa: S307 -- our own
        solutions = [digit for digit in range(5) if worth[digit] == int(right)]
        assert solutions == [int(batch.targets[len(shown), column])]
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)


def test_the_answer_and_the_place_of_x_are_fair() -> None:
    batch = make(11, 11).sample(Stream(0, "train"), torch.arange(20_000))
    answers = batch.targets[11]
    shown = [text for text in texts(batch) if sum(c in "01234x" for c in text[:-3]) == 3]
    ranks = [sum(c in "01234" for c in text[: text.index("x")]) for text in shown]

    assert chisquare(torch.bincount(answers)).pvalue > 1e-4
    assert chisquare([ranks.count(n) for n in range(3)]).pvalue > 1e-4
    assert make().trivial() == 0.2
    assert make(modulus=7).trivial() == 1 / 7
    assert make().at_length(300) == make(300, 300)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shortest": 2}, "shortest must be a whole number of at least 3, not 2"),
        ({"shortest": 15}, "shortest must be a whole number from 3 to longest=14, not 15"),
        ({"longest": 2}, "longest must be a whole number of at least 3, not 2"),
        ({"free": -1}, "free must be a whole number of at least 0, not -1"),
        ({"modulus": 1}, "modulus must be a whole number of at least 2, not 1"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(**settings)
