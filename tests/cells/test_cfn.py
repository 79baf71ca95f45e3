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

from cellbench.cells.cfn import CFN
from cellbench.cells.stacked_gates import HiddenState
from cellbench.unroll import unroll


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = CFN(3, 5)
    weights = drawn(cell)
    theirs = torchrecurrent(
        "CFNCell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "bias_ih": torch.cat([weights["bias"], torch.zeros(5).double()]),
            "bias_hh": torch.zeros(10).double(),
        },
    )

    assert_same_when_warm(
        cell, weights, theirs, time, cell="cfn", against="torchrecurrent: CFNCell"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = ln 3 / 2, whose tanh is 1/2; in units of ln 3

    f: 1 + 2 * 1/2 - 1 =  1      sigmoid 3/4
    i: 1 - 2 * 1/2 - 1 = -1      sigmoid 1/4
    n: -1/2                      tanh   -1/2

    h = 3/4 * 1/2 - 1/4 * 1/2 = 1/4.
    """
    weights = {
        "weight_x": [LN_3, LN_3, -LN_3 / 2],
        "weight_h": [2, -2],
        "bias": [-LN_3, -LN_3],
    }

    assert by_hand(CFN(1, 1), weights, [1], [LN_3 / 2]) == near([1 / 4], [1 / 4])


def test_without_input_every_feature_goes_to_0_whatever_the_weights() -> None:
    cell = CFN(3, 16)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=3)
    h = 5 * torch.randn(8, 16)
    y, _ = unroll(cell, torch.zeros(2000, 8, 3), HiddenState(h))
    sizes = torch.cat([h.unsqueeze(0), y]).abs()

    assert (sizes[1:] <= sizes[:-1]).all()
    assert sizes[-1].max() < 0.05


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = CFN(48, 128)

    assert_starts_as_in_torch(cell, "bias")
    f, i = cell.bias.chunk(2)
    assert (f == 1).all()
    assert (i == -1).all()


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(CFN(x, h)) == 3 * h * x + 2 * h * h + 2 * h
