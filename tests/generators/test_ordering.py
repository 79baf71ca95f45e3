"""Orders: each a true permutation, as defined, and refused where it is none."""

from __future__ import annotations

import itertools

import pytest

from cellbench.errors import OptionError
from cellbench.generators.ordering import places, turns

EVERY = ("forward", "reverse", "bit_reversed", "random", "stride(2)", "stride(3)", "block(3)")


@pytest.mark.parametrize("order", EVERY)
@pytest.mark.parametrize("length", [4, 7, 8, 128, 500])
def test_every_place_is_asked_for_once(order, length) -> None:
    found = places(order, length)

    assert sorted(found) == list(range(length))
    assert [found[turn] for turn in turns(order, length)] == list(range(length))


@pytest.mark.parametrize(
    ("order", "length", "right"),
    [
        ("forward", 4, [0, 1, 2, 3]),
        ("reverse", 4, [3, 2, 1, 0]),
        ("stride(3)", 8, [0, 3, 6, 1, 4, 7, 2, 5]),
        ("stride(2)", 5, [0, 2, 4, 1, 3]),
        ("block(3)", 8, [6, 7, 3, 4, 5, 0, 1, 2]),
        ("block(2)", 6, [4, 5, 2, 3, 0, 1]),
        ("bit_reversed", 8, [0, 4, 2, 6, 1, 5, 3, 7]),
        ("bit_reversed", 6, [0, 4, 2, 1, 5, 3]),
        ("random", 12, [11, 8, 3, 10, 6, 4, 5, 7, 0, 1, 2, 9]),  # of SHA-256; one for ever
    ],
)
def test_orders_are_as_defined(order, length, right) -> None:
    assert list(places(order, length)) == right


def test_the_random_order_leaves_no_neighbours_together() -> None:
    """Else it would be no different in kind from the others."""
    found = places("random", 512)
    steps = [abs(one - other) for one, other in itertools.pairwise(found)]

    assert sum(step <= 2 for step in steps) < 16
    assert sum(steps) / len(steps) == pytest.approx(512 / 3, rel=0.1)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (
            "forwards",
            (
                "order must be one of forward, reverse, bit_reversed, random, stride(k), block(k), "
                "not 'forwards'; did you mean 'forward'?"
            ),
        ),
        (
            "stride",
            (
                "order must be one of forward, reverse, bit_reversed, random, stride(k), block(k), "
                "not 'stride'"
            ),
        ),
        (
            "stride(1)",
            (
                "k of order=stride(1) must be a whole number from 2 to 7, one less than the "
                "length, not '1'."
            ),
        ),
        ("stride(8)", "k of order=stride(8) must be a whole number from 2 to 7"),
        ("block(x)", "k of order=block(x) must be a whole number from 2 to 7"),
        ("block(-2)", "k of order=block(-2) must be a whole number from 2 to 7"),
        ("block()", "k of order=block() must be a whole number from 2 to 7"),
    ],
)
def test_other_orders_are_refused(order, message) -> None:
    with pytest.raises(OptionError) as caught:
        places(order, 8)

    assert str(caught.value).startswith(message)
