"""Digit addition: true sums, and an exact account of what can be guessed without reading."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.digit_addition import GLYPHS, DigitAddition
from cellbench.generators.stream import Stream


def make(**settings):
    return DigitAddition(**{"digits": 3, "order": "written", "loss": "answer"} | settings)


def draw(generator, count, split="train"):
    return generator.sample(Stream(0, split), torch.arange(count))


def ids(text):
    return torch.tensor([[GLYPHS.index(c)] for c in text])


def texts(rows):
    return ["".join(GLYPHS[i] for i in column.tolist()) for column in rows.unbind(1)]


@pytest.mark.parametrize(
    ("shown", "order", "answer"),
    [
        ("99+1=100", "written", "9+1=100."),
        ("123+45=168", "written", "23+45=168."),
        ("123+45=861", "reversed", "23+45=861."),
        ("0+0=0..", "written", "+0=0..."),
        ("999+999=1998", "written", "99+999=1998."),
        ("909+191=0011", "reversed", "09+191=0011."),
    ],
)
def test_sums_worked_out_by_hand(shown, order, answer) -> None:
    assert texts(make(order=order).oracle(ids(shown))) == [answer]


def test_the_result_is_found_without_reading_it() -> None:
    batch = draw(make(), 200)
    equals = (batch.inputs == GLYPHS.index("=")).int().argmax(0)
    after = torch.arange(len(batch.inputs)).unsqueeze(1) > equals
    hidden = torch.where(after, GLYPHS.index("0"), batch.inputs)

    assert torch.equal(make().oracle(hidden)[batch.scored], batch.targets[batch.scored])


@pytest.mark.parametrize("order", ["written", "reversed"])
@pytest.mark.parametrize("digits", [1, 3, 17])
def test_every_line_is_a_true_sum(order, digits) -> None:
    generator = make(order=order, digits=digits, loss="all")
    batch = draw(generator, 300)
    for column, text in enumerate(texts(batch.inputs)):
        line = text.rstrip(".")
        first, rest = line.split("+")
        second, result = rest.split("=")
        number = result[::-1] if order == "reversed" else result
        assert str(int(first)) == first
        assert str(int(second)) == second
        assert str(int(first) + int(second)) == number
        assert max(len(first), len(second)) <= digits
        equals = line.index("=")
        asked = batch.scored[:, column].nonzero().flatten().tolist()
        assert asked == list(range(equals, len(line)))
        assert batch.trained[:, column].nonzero().flatten().tolist() == list(range(len(line)))
    assert texts(batch.targets) == [text[1:] + "." for text in texts(batch.inputs)]
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    answer = draw(make(order=order, digits=digits), 300)
    assert torch.equal(answer.trained, answer.scored)


def test_sizes_and_digits_are_equally_likely() -> None:
    lines = [text.split("+")[0] for text in texts(draw(make(), 12_000).inputs)]
    sizes = Counter(map(len, lines))
    shortest = Counter(line for line in lines if len(line) == 1)
    starts = Counter(line[0] for line in lines if len(line) == 3)

    assert set(sizes) == {1, 2, 3}
    assert set(shortest) == set("0123456789")
    assert set(starts) == set("123456789")
    for counts in (sizes, shortest, starts):
        assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("order", ["written", "reversed"])
@pytest.mark.parametrize("digits", [1, 2])
def test_what_can_be_guessed_is_that_of_listing_all_sums(order, digits) -> None:
    numbers = [str(n) for n in range(10**digits)]
    ways = {size: sum(len(n) == size for n in numbers) for size in range(1, digits + 1)}
    odds = Counter()
    for one, two in itertools.product(numbers, repeat=2):
        result = str(int(one) + int(two))
        line = (result[::-1] if order == "reversed" else result) + "."
        for since, character in enumerate(line):
            share = 1 / ways[len(one)] / ways[len(two)]
            odds[len(one) + len(two), since, character] += share
    best = Counter()
    for (both, since, _), share in odds.items():
        best[both, since] = max(best[both, since], share)

    expected = sum(best.values()) / sum(odds.values())
    assert make(digits=digits, order=order).trivial() == pytest.approx(expected, abs=1e-9)
    assert make().at_length(5) == make(digits=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"digits": 0}, "digits must be a whole number from 1 to 17, not 0."),
        ({"digits": 18}, "digits must be a whole number from 1 to 17, not 18."),
        (
            {"order": "reverse"},
            "order must be one of written, reversed, not 'reverse'; did you mean 'reversed'?",
        ),
        ({"loss": "al"}, "loss must be one of answer, all, not 'al'; did you mean 'all'?"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
