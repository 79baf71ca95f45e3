"""Group words: tables that are groups, products by hand, and the point-wise oracle."""

from __future__ import annotations

import math

import pytest
import torch
from strings import draw, is_even, tally

from cellbench.errors import OptionError
from cellbench.generators.group_words import GROUPS, GroupWords, multiplication

SIZES = {"s3": 6, "s5": 120, "a5": 60, "z60": 60}


def order(table, element):
    """Return how often an element is multiplied with itself until nothing is changed."""
    power, count = element, 1
    while power != 0:
        power, count = table[power][element], count + 1
    return count


@pytest.mark.parametrize("group", GROUPS)
def test_the_table_is_that_of_a_group(group) -> None:
    table = multiplication(group)
    size = SIZES[group]
    everything = torch.arange(size)

    assert table.shape == (size, size)
    assert torch.equal(table[0], everything)  # element 0 changes nothing
    assert torch.equal(table[:, 0], everything)
    assert torch.equal(table.sort(dim=0).values, everything.unsqueeze(1).expand(-1, size))
    assert torch.equal(table.sort(dim=1).values, everything.expand(size, -1))  # inverses
    for one in range(0, size, 7):
        assert torch.equal(table[table[one]], table[one][table])  # (ab)c = a(bc)


@pytest.mark.parametrize(
    ("group", "commutes"), [("s3", False), ("s5", False), ("a5", False), ("z60", True)]
)
def test_only_z60_commutes(group, commutes) -> None:
    table = multiplication(group)

    assert torch.equal(table, table.T) == commutes


@pytest.mark.parametrize(
    ("group", "orders"),
    [
        ("s3", {1: 1, 2: 3, 3: 2}),
        ("a5", {1: 1, 2: 15, 3: 20, 5: 24}),
        ("s5", {1: 1, 2: 25, 3: 20, 4: 30, 5: 24, 6: 20}),
    ],
)
def test_the_orders_of_elements_are_those_of_the_group(group, orders) -> None:
    """What tells A5 from every other group of 60 elements."""
    table = multiplication(group).tolist()
    found = [order(table, element) for element in range(SIZES[group])]

    assert {one: found.count(one) for one in set(found)} == orders


def test_z60_adds() -> None:
    number = torch.arange(60)

    assert torch.equal(multiplication("z60"), (number.unsqueeze(1) + number) % 60)


def test_products_worked_out_by_hand() -> None:
    """1 swaps the last two points, 2 the first two; together they turn all three.

    Point 0 stays with 1 and goes to 1 with 2; point 1 goes to 2 and stays there; point 2 goes
    to 1, and from there to 0. That is element 3: it moves 012 to 120.
    """
    inputs = torch.tensor([[1], [2], [2], [1], [5]])

    assert GROUPS["s3"][1:5] == ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1))
    assert GroupWords(length=5, group="s3").oracle(inputs)[:, 0].tolist() == [1, 3, 1, 0, 5]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("length", [1, 2, 7, 64, 65])
def test_every_step_multiplies_what_was_by_what_is_new_on_its_right(group, length) -> None:
    generator = GroupWords(length=length, group=group)
    batch = draw(generator, 20)
    product = torch.zeros(20, dtype=torch.int64)
    for new, target in zip(batch.inputs, batch.targets, strict=True):
        product = multiplication(group)[product, new]
        assert torch.equal(product, target)
    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert batch.scored.all()


@pytest.mark.parametrize("group", GROUPS)
def test_elements_and_products_are_equally_likely(group) -> None:
    batch = draw(GroupWords(length=5, group=group), 20_000)

    for step in range(5):
        assert is_even(tally(batch.inputs[step], SIZES[group]))
        assert is_even(tally(batch.targets[step], SIZES[group]))
    assert GroupWords(length=5, group=group).trivial() == 1 / SIZES[group]


def test_the_order_of_factors_matters_but_in_z60() -> None:
    for group in GROUPS:
        generator = GroupWords(length=20, group=group)
        batch = draw(generator, 200)
        turned = generator.oracle(batch.inputs.flip(0))[-1]
        same = (turned == batch.targets[-1]).double().mean().item()
        assert same == 1.0 if group == "z60" else same < 0.6


def test_it_is_tested_at_other_lengths() -> None:
    assert GroupWords(length=5, group="a5").at_length(50) == GroupWords(length=50, group="a5")
    assert math.isclose(1 / 60, GroupWords(length=50, group="a5").trivial())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1, not 0."),
        ({"group": "s4"}, "group must be one of s3, s5, a5, z60, not 's4'"),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        GroupWords(**{"length": 5, "group": "s5"} | settings)

    assert str(caught.value).startswith(message)
