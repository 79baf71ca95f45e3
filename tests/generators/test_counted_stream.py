"""Counted stream: strings as drawn, every number as likely, and bits that add up to log2(N)."""

from __future__ import annotations

import math

import known_entropy
import pytest
import torch
from scipy.stats import chisquare

from cellbench.errors import OptionError
from cellbench.generators.counted_stream import GLYPHS, CountedStream
from cellbench.generators.known_odds import asked
from cellbench.generators.stream import Stream

ORDERS = (*known_entropy.ORDERS, "stride(3)")


def make(most=4, order="forward"):
    return CountedStream(most=most, order=order)


def strings(most):
    """Return all strings, blank to the length of the longest, as columns of ids."""
    lines = ["a" * n + "/" + "b" * n + "/" for n in range(1, most + 1)]
    rows = [[GLYPHS.index(one) for one in line.ljust(2 * most + 2, ".")] for line in lines]
    return torch.tensor(rows).T


@pytest.mark.parametrize("order", ORDERS)
def test_every_string_comes_as_often(order) -> None:
    text = known_entropy.texts_of(make(6, order).sample(Stream(0, "test"), torch.arange(12_000)))
    same = (text.unsqueeze(2) == strings(6).unsqueeze(1)).all(0)

    assert (same.sum(1) == 1).all()
    assert chisquare(same.sum(0).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("most", [2, 4, 9])
def test_bits_are_those_of_the_law_and_add_up(order, most) -> None:
    if order == "block(4)" and most == 2:
        order = "block(5)"
    text = strings(most)
    chance = torch.full((most,), 1 / most, dtype=torch.float64)
    right = known_entropy.expected_bits(text, chance, order, 4)
    generator = make(most, order)
    batch = asked(text, order, 4, torch.zeros(text.shape))
    odds = generator.oracle(batch.inputs).gather(2, batch.targets.unsqueeze(2)).squeeze(2)
    drawn = generator.sample(Stream(0, "test"), torch.arange(64))
    number = (known_entropy.texts_of(drawn) == 0).sum(0) - 1

    assert (right.sum(0) - math.log2(most)).abs().max() < 1e-9
    assert (odds / math.log(2) + right).abs().max() < 1e-5
    assert (drawn.optimum / math.log(2) - right[:, number]).abs().max() < 1e-6
    assert generator.entropy() == math.log2(most)
    last = known_entropy.last_symbol_excess(text, chance, order, 4)
    assert generator.controls()["the symbol asked last"] == pytest.approx(last, abs=1e-9)


def test_bits_of_a_character_in_a_stream_of_strings() -> None:
    mean_length = (strings(32) != GLYPHS.index(".")).double().sum(0).mean().item()

    assert mean_length == 35
    assert make(32).entropy() / mean_length == pytest.approx(0.142857, abs=5e-7)


def test_trivial_by_hand() -> None:
    """Two strings, a/b/.. and aa/bb/: only the second to the sixth place differ, a bit each.

    The third: b or /; the fourth: / or b; the fifth: . or b; the sixth: . or /. In all 5 bits, of
    which one is needed.
    """
    assert make(2).trivial() == pytest.approx(4)
    assert make(2).controls()["no memory"] == pytest.approx(4)


def test_forward_by_hand() -> None:
    """After aa, of a/, aa/, aaa/ and aaaa/ three are left: one ends here, two go on."""
    inputs = torch.tensor([[4, 0], [0, 1], [0, 2], [0, 3], *[[0, n] for n in range(4, 10)]])
    odds = make(4).oracle(inputs.unsqueeze(1))[:, 0].exp()

    assert odds[0].tolist() == pytest.approx([1, 0, 0, 0])
    assert odds[1].tolist() == pytest.approx([3 / 4, 0, 1 / 4, 0])
    assert odds[2].tolist() == pytest.approx([2 / 3, 0, 1 / 3, 0])


@pytest.mark.parametrize("order", ["forward", "bit_reversed", "random"])
def test_excess_is_measured_right(order) -> None:
    generator = make(16, order)
    batch = generator.sample(Stream(0, "test"), torch.arange(500))

    assert known_entropy.excess(batch, generator.oracle(batch.inputs))[0] == pytest.approx(
        0, abs=1e-5
    )
    known_entropy.marginals_of_shuffled_texts_cost_the_trivial_excess(generator)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"most": 1}, "most must be a whole number of at least 2, not 1."),
        (
            {"most": 1025},
            (
                "most must be a whole number from 2 to the most that are held in a table=1024, "
                "not 1025."
            ),
        ),
        ({"order": "block(10)"}, "k of order=block(10) must be a whole number from 2 to 9"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)
