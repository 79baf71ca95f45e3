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

from cellbench.cells.mgu import MGU


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = MGU(3, 5)
    weights = drawn(cell)
    theirs = torchrecurrent(
        "MGUCell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "bias_ih": weights["bias"],
            "bias_hh": torch.zeros(10).double(),
        },
    )

    assert_same_when_warm(
        cell, weights, theirs, time, cell="mgu", against="torchrecurrent: MGUCell"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2; in units of ln 3

    f: 1 + 2/2       - 1 =  1     sigmoid 3/4
    n: 1 - 3/4 * 2   + 1 = 1/2    tanh    1/2

    h = 1/4 * 2 + 3/4 * 1/2 = 7/8.
    """
    weights = {
        "weight_x": [LN_3, LN_3],
        "weight_h": [LN_3 / 2, -LN_3],
        "bias": [-LN_3, LN_3],
    }

    assert by_hand(MGU(1, 1), weights, [1], [2]) == near([7 / 8], [7 / 8])


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = MGU(48, 128)

    assert_starts_as_in_torch(cell)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(MGU(x, h)) == 2 * h * (x + h) + 2 * h
