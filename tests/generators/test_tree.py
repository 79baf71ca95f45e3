"""Tree: its bits are those of the law, in every order, and all published figures hold."""

from __future__ import annotations

import itertools

import known_entropy
import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.known_odds import every_text, shared_bits
from cellbench.generators.tree import Tree

TINY = ((2, 0.8, 2, 3), (3, 0.7, 2, 2), (2, 0.6, 3, 2))


def make(symbols=2, keep=0.8, branching=2, depth=3, order="forward"):
    return Tree(symbols=symbols, keep=keep, branching=branching, depth=depth, order=order)


def orders_of(length):
    return [order for order in known_entropy.ORDERS if order != "block(4)" or length > 4]


def chances(symbols, keep, branching, depth):
    """Return the chance of every string, summed over all symbols of all inner nodes."""
    text = every_text(symbols, branching**depth)
    inner = sum(branching**level for level in range(depth))
    total = torch.zeros(text.shape[1], dtype=torch.float64)
    for nodes in itertools.product(range(symbols), repeat=inner):
        rows = [torch.full((text.shape[1],), node) for node in nodes] + list(text)
        chance = torch.full_like(total, 1 / symbols)
        for number, row in enumerate(rows[1:]):
            parent = rows[number // branching]
            chance = chance * (keep * (row == parent).double() + (1 - keep) / symbols)
        total += chance
    return total


@pytest.mark.parametrize("settings", TINY)
def test_it_holds_in_every_order(settings, monkeypatch) -> None:
    length = settings[2] ** settings[3]
    monkeypatch.setattr(known_entropy, "ORDERS", orders_of(length))
    known_entropy.holds_in_every_order(
        lambda order: make(*settings, order), chances(*settings), settings[0], length
    )


@pytest.mark.parametrize("settings", TINY)
def test_strings_come_as_often_as_they_should(settings) -> None:
    known_entropy.is_drawn_by_its_law(make(*settings), chances(*settings), settings[0])


def test_figures_of_the_tree_with_eight_leaves() -> None:
    chance, text = chances(2, 0.8, 2, 3), every_text(2, 8)
    per_place = {
        order: (known_entropy.bits_in_order(make(order=order), text) * chance).sum(1).tolist()
        for order in ("forward", "reverse", "bit_reversed")
    }
    forward = [1, 0.6801, 0.8456, 0.6413, 0.9145, 0.6599, 0.8134, 0.6308]

    assert make().entropy() == pytest.approx(6.185609492, abs=5e-10)
    assert per_place["forward"] == pytest.approx(forward, abs=5e-5)
    assert per_place["reverse"] == pytest.approx(forward, abs=5e-5)
    assert per_place["bit_reversed"] == pytest.approx(
        [1, 0.9498, 0.8534, 0.8424, 0.6394, 0.6382, 0.6316, 0.6308], abs=5e-5
    )
    assert [shared_bits(2, 0.8 ** (2 * up)) for up in (1, 2, 3)] == pytest.approx(
        [0.3199, 0.1247, 0.0502], abs=5e-5
    )


@pytest.mark.parametrize(("keep", "branching", "depth"), [(0.9, 2, 4), (0.8, 4, 2), (0.95, 2, 4)])
def test_the_entropy_by_height_is_that_over_all_strings(keep, branching, depth) -> None:
    """Sixteen leaves: more kinds of message than are told apart, so not exact any more."""
    generator = make(2, keep, branching, depth, "random")
    nats = known_entropy.bits_in_order(generator, every_text(2, 16)).sum(0)

    assert generator.entropy() == pytest.approx(known_entropy.entropy(2.0**-nats), abs=1e-5)


@pytest.mark.parametrize("order", ["forward", "bit_reversed", "random", "stride(8)"])
def test_excess_is_measured_right(order) -> None:
    known_entropy.is_measured_right(make(2, 0.9, 2, 5, order))
    known_entropy.is_measured_wrong_for_others(make(2, 0.9, 2, 5, order))
    known_entropy.marginals_of_shuffled_texts_cost_the_trivial_excess(make(2, 0.9, 2, 5, order))


def test_by_hand() -> None:
    """Two leaves agree over two edges: with 1/2 + .8**2 / 2 = .82."""
    inputs = torch.tensor([[2, 1], [1, 0]]).unsqueeze(1)
    odds = make(2, 0.8, 2, 1, "reverse").oracle(inputs)[:, 0].exp()

    assert odds[0].tolist() == pytest.approx([0.5, 0.5])
    assert odds[1].tolist() == pytest.approx([0.18, 0.82])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"symbols": 1}, "symbols must be a whole number of at least 2, not 1."),
        ({"keep": 0.1234}, "keep must be a whole number of thousandths, not 0.1234."),
        ({"keep": 1}, "keep must be more than 0 and less than 1, not 1."),
        ({"branching": 1}, "branching must be a whole number of at least 2, not 1."),
        ({"depth": 0}, "depth must be a whole number of at least 1, not 0."),
        ({"depth": 11}, "branching**depth must be from 2 to 1024, not 2**11."),
        (
            {"symbols": 3, "depth": 4},
            (
                "With symbols above 2 there must be at most 65536 strings, for their entropy is "
                "summed over them; 3 symbols at length 16 are too many."
            ),
        ),
        ({"order": "stride(8)"}, "k of order=stride(8) must be a whole number from 2 to 7"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value).startswith(message)
