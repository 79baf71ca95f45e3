"""Modular arithmetic: by hand, as Python works it out, and odds as enumerated."""

from __future__ import annotations

import itertools

import pytest
import torch
from strings import answers, columns, draw, is_even, lengths, tally

from cellbench.errors import OptionError
from cellbench.generators.modular_arithmetic import ModularArithmetic

GLYPHS = ".01234+-*"


def make(shortest=1, longest=41):
    return ModularArithmetic(shortest=shortest, longest=longest)


def value(text):
    return eval(text) % 5  # noqa: S307 -- digits and operators only


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2 + 3 * 4 - 1 .", "0 0 0 0 0 0 0 3"),  # 13
        ("4 * 4 * 0 + 3 .", "0 0 0 0 0 0 0 3"),
        ("1 - 2 * 3 . . .", "0 0 0 0 0 0 0 0"),  # -5
        ("0 - 1 . . . . .", "0 0 0 4 0 0 0 0"),
        ("3 . . . . . . .", "0 3 0 0 0 0 0 0"),
    ],
)
def test_values_worked_out_by_hand(text, answer) -> None:
    assert answers(make(longest=7), text) == answer


@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (1, 3), (2, 9), (1, 41), (150, 201)])
def test_the_answers_are_those_of_python(shortest, longest) -> None:
    """One range after the other in one process: nothing is used up."""
    for shown, found in columns(draw(make(shortest, longest), 60)):
        text = "".join(GLYPHS[token] for token in shown)
        assert found == {len(shown): value(text)}
        assert shortest <= len(text) <= longest


def test_digits_and_operators_take_turns_and_are_fair() -> None:
    batch = draw(make(2, 9), 10_000)
    digits, operators = batch.inputs[0:-1:2], batch.inputs[1:-1:2]

    assert is_even(tally(digits[digits > 0] - 1, 5))
    assert is_even(tally(operators[operators > 0] - 6, 3))
    assert is_even(tally((lengths(batch) - 3) // 2, 4))


@pytest.mark.parametrize("length", [1, 3, 5])
def test_the_likeliest_value_is_that_of_all_texts(length) -> None:
    turns = ["01234", "+-*"] * length
    values = [value("".join(text)) for text in itertools.product(*turns[:length])]
    likeliest = max(values.count(one) for one in range(5)) / len(values)

    assert make(length, length).trivial() == pytest.approx(likeliest)


@pytest.mark.parametrize(
    ("length", "known"), [(1, 0.2), (3, 0.2533), (5, 0.2320), (9, 0.2087), (41, 0.2), (501, 0.2)]
)
def test_the_trivial_scores_are_those_known(length, known) -> None:
    assert make(length, length).trivial() == pytest.approx(known, abs=5e-5)
    assert make(1, 5).trivial() == pytest.approx((0.2 + 0.253333 + 0.232) / 3, abs=1e-5)


def test_an_answer_needs_every_digit() -> None:
    """The oracle of a text whose first digit is another is not what it was."""
    batch = draw(make(5, 5), 500)
    changed = batch.inputs.clone()
    changed[0] = changed[0] % 5 + 1
    plus = batch.inputs[1] == 6

    assert (make(5, 5).oracle(changed)[-1] != batch.targets[-1])[plus].all()
    assert not torch.equal(changed, batch.inputs)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((0, 5), "shortest must be a whole number of at least 1, not 0."),
        ((6, 5), "longest must be a whole number of at least 6, not 5."),
        ((4, 4), "shortest and longest must leave an odd length, not 4 to 4."),
    ],
)
def test_settings_are_checked(lengths, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(*lengths)

    assert str(caught.value) == message


def test_it_is_tested_at_odd_lengths_only() -> None:
    assert make().at_length(101) == make(101, 101)
    with pytest.raises(OptionError, match="must leave an odd length, not 100 to 100"):
        make().at_length(100)
