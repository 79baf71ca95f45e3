"""Noisy hold: its bits are those of the law, in every order, and of no other reading of it."""

from __future__ import annotations

import known_entropy
import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.known_odds import every_text
from cellbench.generators.noisy_hold import NoisyHold

TINY = ((2, 0.1, 0.2, 8), (3, 0.3, 0.4, 6), (2, 0.2, 0.1, 7))


def make(symbols=2, renew=0.1, noise=0.2, length=8, order="forward"):
    return NoisyHold(symbols=symbols, renew=renew, noise=noise, length=length, order=order)


def chances(symbols, renew, noise, length):
    """Return the chance of every string, summed over all that may be hidden.

    Chances are of drawing anew; to read them as of another symbol, give q / (q - 1) times them.
    """
    text = every_text(symbols, length)
    hidden = text.unsqueeze(2)  # [place, hidden string, 1]
    seen = text.unsqueeze(1)
    path = torch.full((text.shape[1], 1), 1 / symbols, dtype=torch.float64)
    for place in range(length):
        if place:
            same = (hidden[place] == hidden[place - 1]).double()
            path = path * ((1 - renew) * same + renew / symbols)
        path = path * ((1 - noise) * (seen[place] == hidden[place]).double() + noise / symbols)
    return path.sum(0)


@pytest.mark.parametrize("settings", TINY)
def test_it_holds_in_every_order(settings) -> None:
    known_entropy.holds_in_every_order(
        lambda order: make(*settings, order), chances(*settings), settings[0], settings[3]
    )


@pytest.mark.parametrize("settings", TINY)
def test_strings_come_as_often_as_they_should(settings) -> None:
    known_entropy.is_drawn_by_its_law(make(*settings), chances(*settings), settings[0])


def test_the_entropy_is_of_this_reading_and_not_of_the_others() -> None:
    assert make().entropy() == pytest.approx(5.793725201, abs=5e-10)
    for renew, noise, wrong in (
        (0.2, 0.4, 7.415445),
        (0.1, 0.4, 7.144783),
        (0.2, 0.2, 6.411040),
    ):
        bits = known_entropy.entropy(chances(2, renew, noise, 8))
        assert bits == pytest.approx(wrong, abs=5e-7)
        assert make(renew=renew, noise=noise).entropy() == pytest.approx(wrong, abs=5e-7)


@pytest.mark.parametrize(("renew", "noise"), [(0.1, 0.2), (0.01, 0.4), (0.5, 0.1)])
def test_the_entropy_place_by_place_is_that_over_all_strings(renew, noise) -> None:
    """Twelve places: more strengths than are told apart, so not exact any more."""
    generator = make(2, renew, noise, 12, "random")
    bits = known_entropy.bits_in_order(generator, every_text(2, 12)).sum(0)

    assert generator.entropy() == pytest.approx(known_entropy.entropy(2.0**-bits), abs=1e-5)


def test_a_long_sequence_costs_what_its_law_says() -> None:
    """Where the entropy of a place has settled, and nothing gets too small to be held."""
    generator = make(2, 0.3, 0.3, 2000)
    text = torch.randint(0, 2, (2000, 4), generator=torch.Generator().manual_seed(0))

    assert known_entropy.bits_in_order(generator, text).isfinite().all()
    assert generator.entropy() - make(2, 0.3, 0.3, 1999).entropy() == pytest.approx(
        make(2, 0.3, 0.3, 1999).entropy() - make(2, 0.3, 0.3, 1998).entropy(), abs=1e-7
    )


@pytest.mark.parametrize("order", ["forward", "reverse", "bit_reversed", "random"])
@pytest.mark.parametrize("length", [17, 32])
def test_excess_is_measured_right(order, length) -> None:
    generator = make(2, 0.05, 0.2, length, order)
    known_entropy.is_measured_right(generator)
    known_entropy.is_measured_wrong_for_others(generator)
    known_entropy.marginals_of_shuffled_texts_cost_the_trivial_excess(generator)


def test_by_hand() -> None:
    """Two places agree with 1/2 + .8**2 * .9 / 2 = .788."""
    inputs = torch.tensor([[2, 1], [0, 0]]).unsqueeze(1)
    odds = make(2, 0.1, 0.2, 2, "reverse").oracle(inputs)[:, 0].exp()

    assert odds[0].tolist() == pytest.approx([0.5, 0.5])
    assert odds[1].tolist() == pytest.approx([0.788, 0.212])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"symbols": 1}, "symbols must be a whole number of at least 2, not 1."),
        ({"renew": 0.0}, "renew must be more than 0 and less than 1, not 0.0."),
        ({"noise": 1.0}, "noise must be more than 0 and less than 1, not 1.0."),
        ({"noise": 0.0005}, "noise must be a whole number of thousandths, not 0.0005."),
        ({"length": 1}, "length must be a whole number of at least 2, not 1."),
        ({"symbols": 3, "length": 11}, "With symbols above 2 there must be at most 65536 strings"),
        ({"order": "block(8)"}, "k of order=block(8) must be a whole number from 2 to 7"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)
