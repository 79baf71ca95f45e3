"""Stack manipulation: stacks as Python's lists have them, and a baseline counted out."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.stack_manipulation import StackManipulation
from cellbench.generators.stream import Stream


def make(shortest=2, longest=12):
    return StackManipulation(shortest=shortest, longest=longest)


def left(shown):
    stack = []
    for token in shown:
        if token == 2:
            stack = stack[:-1]
        elif token < 5:
            stack.append(token - 3 if token > 2 else token)
    return stack[::-1]


def test_by_hand() -> None:
    """1, pop, pop (of nothing), push 0, push 1: 1 on top of 0."""
    inputs = torch.tensor([[1, 2, 2, 3, 4] + [5] * 6]).T

    assert make(2, 5).oracle(inputs)[5:8, 0].tolist() == [1, 0, 2]


@pytest.mark.parametrize(("shortest", "longest"), [(2, 2), (2, 9), (80, 80), (2, 120)])
def test_stacks_are_those_of_a_list(shortest, longest) -> None:
    batch = make(shortest, longest).sample(Stream(0, "test"), torch.arange(60))

    for column in range(60):
        shown = [token for token in batch.inputs[:, column].tolist() if token != 5]
        asked = batch.scored[:, column]
        expected = [*left(shown), 2]
        assert batch.targets[asked, column].tolist() == expected
        first = len(shown)
        assert asked.nonzero().flatten().tolist() == list(range(first, first + len(expected)))


def test_every_input_of_five_tokens_is_answered_by_the_oracle() -> None:
    shown = [
        (*stack, *actions)
        for size in range(1, 5)
        for stack in itertools.product((0, 1), repeat=size)
        for actions in itertools.product((2, 3, 4), repeat=5 - size)
    ]
    answers = make(2, 5).oracle(torch.tensor([[*one] + [5] * 6 for one in shown]).T)

    for one, answer in zip(shown, answers.T.tolist(), strict=True):
        expected = [*left(one), 2]
        assert answer[5 : 5 + len(expected)] == expected


def test_lengths_starts_and_actions_are_fair() -> None:
    batch = make(2, 6).sample(Stream(0, "train"), torch.arange(20_000))
    length = (batch.inputs != 5).sum(0)
    start = (batch.inputs >= 2).byte().argmax(0)
    counts = torch.bincount(batch.inputs.flatten())

    assert chisquare(torch.bincount(length)[2:]).pvalue > 1e-4
    assert chisquare(torch.bincount(start[length == 6])[1:]).pvalue > 1e-4
    assert chisquare(counts[:2]).pvalue > 1e-4
    assert chisquare(counts[2:5]).pvalue > 1e-4


@pytest.mark.parametrize("length", [2, 3, 6])
def test_the_baseline_is_that_of_all_inputs(length) -> None:
    places = [{} for _ in range(length + 1)]
    for size in range(1, length):
        for stack in itertools.product((0, 1), repeat=size):
            for actions in itertools.product((2, 3, 4), repeat=length - size):
                weight = 2.0**-size * 3.0 ** (size - length)
                for place, symbol in zip(places, [*left(stack + actions), 2], strict=False):
                    place[symbol] = place.get(symbol, 0) + weight
    right = sum(max(place.values()) for place in places)

    assert make(length, length).trivial() == pytest.approx(
        right / sum(sum(place.values()) for place in places), abs=1e-12
    )


def test_the_baseline_is_about_a_half() -> None:
    assert 0.48 < make(2, 40).trivial() < 0.51
    assert make(2, 40).at_length(500) == make(500, 500)


@pytest.mark.parametrize(
    ("shortest", "longest", "message"),
    [
        (1, 9, "shortest must be a whole number of at least 2, not 1"),
        (10, 9, "shortest must be a whole number from 2 to longest=9, not 10"),
        (2, 1, "longest must be a whole number of at least 2, not 1"),
    ],
)
def test_settings_are_checked(shortest, longest, message) -> None:
    with pytest.raises(OptionError, match=message):
        make(shortest, longest)
