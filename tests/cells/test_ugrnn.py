import pytest
import torch
from cell_parity import LN_3, parameter_count
from cell_steps import (
    assert_same_when_warm,
    assert_starts_as_in_torch,
    assert_uniform,
    by_hand,
    drawn,
    near,
    torchrecurrent,
)

from cellbench.cells.ugrnn import UGRNN
from cellbench.errors import OptionError


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = UGRNN(3, 5)
    weights = drawn(cell)
    theirs = torchrecurrent(
        "UGRNNCell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "bias_ih": weights["bias"],
            "bias_hh": torch.zeros(10).double(),
        },
    )

    assert_same_when_warm(
        cell, weights, theirs, time, cell="ugrnn", against="torchrecurrent: UGRNNCell"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2; in units of ln 3

    c: 1 + 2/4 - 1 = 1/2    tanh    1/2
    g: 1 + 2/2 - 1 =  1     sigmoid 3/4

    h = 3/4 * 2 + 1/4 * 1/2 = 13/8.
    """
    weights = {
        "weight_x": [LN_3, LN_3],
        "weight_h": [LN_3 / 4, LN_3 / 2],
        "bias": [-LN_3, -LN_3],
    }

    assert by_hand(UGRNN(1, 1), weights, [1], [2]) == near([13 / 8], [13 / 8])


@pytest.mark.parametrize(("options", "bias"), [({}, 1.0), ({"forget_bias": 0.0}, 0.0)], ids=str)
def test_it_starts_as_it_says(options: dict, bias: float) -> None:
    torch.manual_seed(0)
    cell = UGRNN(48, 256, **options)
    candidate, gate = cell.bias.chunk(2)

    assert_starts_as_in_torch(cell, "bias")
    assert_uniform(candidate, 256**-0.5)
    assert_uniform(gate - bias, 256**-0.5 * (1 + 1e-5))


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(UGRNN(x, h)) == 2 * h * (x + h) + 2 * h


def test_a_forget_bias_below_0_is_named() -> None:
    with pytest.raises(OptionError, match="forget_bias must be a number of at least 0"):
        UGRNN(3, 5, forget_bias=-1.0)
