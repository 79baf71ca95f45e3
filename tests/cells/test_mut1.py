import pytest
import torch
from cell_parity import LN_3, parameter_count
from cell_steps import (
    assert_same_when_warm,
    assert_starts_as_in_torch,
    by_hand,
    drawn,
    near,
    torchrecurrent,
)

from cellbench.cells.mut1 import MUT1


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = MUT1(3, 5)
    weights = drawn(cell)
    zeros = torch.zeros(5).double()
    theirs = torchrecurrent(
        "MUT1Cell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "bias_ih": torch.cat([weights["bias"][:10], zeros]),
            "bias_hh": torch.cat([zeros, weights["bias"][10:]]),
        },
    )

    assert_same_when_warm(
        cell, weights, theirs, time, cell="mut1", against="torchrecurrent: MUT1Cell"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2; in units of ln 3

    z: 2         - 1 =  1     sigmoid 3/4
    r: 1 - 2/2   - 1 = -1     sigmoid 1/4

    r h = 1/2, and tanh(W_n) = 1/2 enters n as it is: n = tanh(ln 3 + 1/2 - (ln 3 + 1) / 2) = 1/2.
    h = 3/4 * 1/2 + 1/4 * 2 = 7/8.
    """
    weights = {
        "weight_x": [2 * LN_3, LN_3, LN_3 / 2],
        "weight_h": [-LN_3 / 2, 2 * LN_3],
        "bias": [-LN_3, -LN_3, -(LN_3 + 1) / 2],
    }

    assert by_hand(MUT1(1, 1), weights, [1], [2]) == near([7 / 8], [7 / 8])


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = MUT1(48, 128)

    assert_starts_as_in_torch(cell)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(MUT1(x, h)) == 3 * h * x + 2 * h * h + 3 * h
