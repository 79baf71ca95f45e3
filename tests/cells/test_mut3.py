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

from cellbench.cells.mut3 import MUT3


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = MUT3(3, 5)
    weights = drawn(cell)
    theirs = torchrecurrent(
        "MUT3Cell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "bias_ih": weights["bias"],
            "bias_hh": torch.zeros(15).double(),
        },
    )

    assert_same_when_warm(
        cell, weights, theirs, time, cell="mut3", against="torchrecurrent: MUT3Cell"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = ln 3 / 2, so that tanh(h) = 1/2; in units of ln 3

    z: 1 + 2 * 1/2 - 1          =  1     sigmoid 3/4
    r: 1 - 2 * 1/2 - 1          = -1     sigmoid 1/4
    n: 1 + 4 * 1/4 * 1/2    - 1 = 1/2    tanh    1/2

    h = 3/4 * 1/2 + 1/4 * ln 3 / 2 = (3 + ln 3) / 8.
    """
    weights = {
        "weight_x": [LN_3, LN_3, LN_3],
        "weight_h": [2 * LN_3, -2, 4],
        "bias": [-LN_3, -LN_3, -LN_3],
    }
    h = (3 + LN_3) / 8

    assert by_hand(MUT3(1, 1), weights, [1], [LN_3 / 2]) == near([h], [h])


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = MUT3(48, 128)

    assert_starts_as_in_torch(cell)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(MUT3(x, h)) == 3 * h * (x + h) + 3 * h
