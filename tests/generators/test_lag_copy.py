"""Lag copy: its bits are those of the law, in every order, and all published figures hold."""

from __future__ import annotations

import math

import known_entropy
import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.known_odds import every_text, shared_bits
from cellbench.generators.lag_copy import LagCopy
from cellbench.generators.stream import Stream

TINY = ((2, 0.9, 2, 6), (3, 0.7, 2, 6), (2, 0.5, 3, 8))


def make(symbols=2, keep=0.9, lag=2, length=6, order="forward"):
    return LagCopy(symbols=symbols, keep=keep, lag=lag, length=length, order=order)


def chances(symbols, keep, lag, length):
    """Return the chance of every string, symbol by symbol."""
    text = every_text(symbols, length)
    chance = torch.full((text.shape[1],), symbols ** -float(lag), dtype=torch.float64)
    for place in range(lag, length):
        chance *= keep * (text[place] == text[place - lag]).double() + (1 - keep) / symbols
    return chance


@pytest.mark.parametrize("settings", TINY)
def test_it_holds_in_every_order(settings) -> None:
    known_entropy.holds_in_every_order(
        lambda order: make(*settings, order), chances(*settings), settings[0], settings[3]
    )


@pytest.mark.parametrize("order", ["forward", "random"])
@pytest.mark.parametrize("settings", TINY)
def test_strings_come_as_often_as_they_should(settings, order) -> None:
    known_entropy.is_drawn_by_its_law(make(*settings, order), chances(*settings), settings[0])


@pytest.mark.parametrize(
    ("settings", "bits", "trivial"),
    [
        ((2, 0.9, 8, 128), 42.367635, 85.632365),
        ((2, 0.9, 32, 128), 59.494108, 68.505892),
        ((4, 0.9, 8, 128), 76.382048, 179.617952),
        ((2, 0.9, 2, 6), 3.145588, 2.854412),
        ((3, 0.7, 2, 6), 6.857637, 2.652138),
    ],
)
def test_entropies_are_those_of_the_closed_form(settings, bits, trivial) -> None:
    for order in known_entropy.ORDERS:
        assert make(*settings, order).entropy() == pytest.approx(bits, abs=5e-7)
        assert make(*settings, order).trivial() == pytest.approx(trivial, abs=5e-7)


def test_what_places_tell_of_each_other_falls_with_the_links_between() -> None:
    found = [shared_bits(2, 0.9**links) for links in (1, 2, 3, 4)]

    assert found == pytest.approx([0.713603, 0.547057, 0.427669, 0.337854], abs=5e-7)
    assert shared_bits(4, 0.9) == pytest.approx(1.496816, abs=5e-7)
    assert shared_bits(3, 0.7) == pytest.approx(0.663034, abs=5e-7)
    assert 1 - shared_bits(2, 0.9) == pytest.approx(0.286397, abs=5e-7)


def test_by_hand() -> None:
    """0 1 0 0 at lag 1, keep .8, asked for as 3 0 2 1: K^3, K^1, then both sides, by hand.

    A symbol is kept over n links with 1/2 + .8**n / 2: n=1 .9, n=2 .82, n=3 .756.
    """
    inputs = torch.tensor([[2, 3], [0, 0], [0, 2], [0, 1]]).unsqueeze(1)
    order = [3, 0, 2, 1]
    assert inputs[:, 0, 1].tolist() == order
    odds = make(2, 0.8, 1, 4).oracle(inputs)[:, 0].exp()

    assert odds[0].tolist() == pytest.approx([0.5, 0.5])
    assert odds[1, 0].item() == pytest.approx(0.756)
    assert odds[2, 0].item() == pytest.approx(0.82 * 0.9 / (0.82 * 0.9 + 0.18 * 0.1))
    assert odds[3, 0].item() == pytest.approx(0.81 / (0.81 + 0.01))


@pytest.mark.parametrize("order", [*known_entropy.ORDERS, "stride(lag)"])
def test_excess_is_measured_right(order) -> None:
    known_entropy.is_measured_right(make(4, 0.9, 8, 64, order))
    known_entropy.is_measured_wrong_for_others(make(4, 0.9, 8, 64, order))
    known_entropy.marginals_of_shuffled_texts_cost_the_trivial_excess(make(4, 0.9, 8, 64, order))


def test_the_text_is_the_same_in_every_order() -> None:
    index = torch.arange(50)
    texts = [
        known_entropy.texts_of(make(3, 0.7, 4, 30, order).sample(Stream(0, "train"), index))
        for order in known_entropy.ORDERS
    ]

    assert all(torch.equal(text, texts[0]) for text in texts)


def test_chain_by_chain_needs_no_memory() -> None:
    assert make(2, 0.9, 8, 128, "stride(lag)").controls()["the symbol asked last"] == pytest.approx(
        0, abs=1e-9
    )
    assert make(2, 0.9, 8, 128).controls()["the symbol asked last"] == pytest.approx(
        make(2, 0.9, 8, 128).trivial()
    )


def test_a_symbol_is_renewed_as_often_as_it_should() -> None:
    text = known_entropy.texts_of(
        make(2, 0.9, 5, 50).sample(Stream(0, "train"), torch.arange(4000))
    )
    changed = (text[5:] != text[:-5]).double().mean().item()

    assert changed == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / 180_000))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"symbols": 1}, "symbols must be a whole number of at least 2, not 1."),
        ({"keep": 1.0}, "keep must be more than 0 and less than 1, not 1.0."),
        ({"keep": 0.0}, "keep must be more than 0 and less than 1, not 0.0."),
        ({"keep": 0.12345}, "keep must be a whole number of thousandths, not 0.12345."),
        ({"keep": 1.5}, "keep must be a number from 0 to 1, not 1.5."),
        ({"lag": 6}, "lag must be a whole number from 1 to length - 1=5, not 6."),
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        ({"order": "stride(6)"}, "k of order=stride(6) must be a whole number from 2 to 5"),
        ({"order": "sideways"}, "order must be one of forward"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)
