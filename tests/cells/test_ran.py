import pytest
import torch
from cell_parity import LN_3, draw, parameter_count
from cell_steps import (
    assert_same_when_warm,
    assert_starts_as_in_torch,
    by_hand,
    drawn,
    near,
    torchrecurrent,
)

from cellbench.cells.ran import RAN
from cellbench.errors import OptionError
from cellbench.unroll import unroll


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = RAN(3, 5)
    weights = drawn(cell)
    i, f, n = weights["weight_x"].chunk(3)
    theirs = torchrecurrent(
        "RANCell",
        {
            "weight_ih": torch.cat([n, i, f]),
            "weight_hh": weights["weight_h"],
            "bias_ih": weights["bias"],
            "bias_hh": torch.zeros(10).double(),
        },
    )

    assert_same_when_warm(
        cell, weights, theirs, time, cell="ran", against="torchrecurrent: RANCell"
    )


@pytest.mark.parametrize(("output", "h"), [("tanh", 1 / 2), ("identity", LN_3 / 2)])
def test_one_step_by_hand(output: str, h: float) -> None:
    """x = 1, h = 2, c = 2 ln 3 - 6, n = 2; in units of ln 3

    i: 1 + 2/2 - 1 =  1     sigmoid 3/4
    f: 1 - 2/2 - 1 = -1     sigmoid 1/4

    c = 1/4 (2 ln 3 - 6) + 3/4 * 2 = ln 3 / 2, whose tanh is 1/2.
    """
    weights = {
        "weight_x": [LN_3, LN_3, 2],
        "weight_h": [LN_3 / 2, -LN_3 / 2],
        "bias": [-LN_3, -LN_3],
    }
    found = by_hand(RAN(1, 1, output=output), weights, [1], [2], [2 * LN_3 - 6])

    assert found == near([h], [h], [LN_3 / 2])


def test_twice_the_content_is_twice_the_memory() -> None:
    """As long as the gates do not change: what is written is linear."""
    cell = RAN(3, 5, output="identity").double()
    cell.weight_h.data.zero_()
    cell.weight_x.data[:10] = 0
    x = draw(7, 4, 3)

    torch.testing.assert_close(unroll(cell, 2 * x)[0], 2 * unroll(cell, x)[0])


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = RAN(48, 128)

    assert_starts_as_in_torch(cell)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(RAN(x, h)) == 3 * h * x + 2 * h * h + 2 * h


def test_an_output_it_does_not_have_is_named() -> None:
    with pytest.raises(OptionError, match="output must be one of tanh, identity"):
        RAN(3, 5, output="relu")
