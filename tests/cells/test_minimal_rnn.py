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

from cellbench.cells.minimal_rnn import MinimalRNN


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = MinimalRNN(3, 5)
    weights = drawn(cell)
    theirs = torchrecurrent(
        "MinimalRNNCell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "weight_mm": weights["weight_z"],
            "bias_ih": weights["bias"],
            "bias_hh": weights["bias_u"],
        },
    )

    assert_same_when_warm(
        cell, weights, theirs, time, cell="minimal_rnn", against="torchrecurrent: MinimalRNNCell"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2; in units of ln 3

    z: 1 - 1/2           = 1/2    tanh    1/2
    u: 2/2 + 2 * 1/2 - 1 =  1     sigmoid 3/4

    h = 3/4 * 2 + 1/4 * 1/2 = 13/8.
    """
    weights = {
        "weight_x": [LN_3],
        "bias": [-LN_3 / 2],
        "weight_h": [LN_3 / 2],
        "weight_z": [2 * LN_3],
        "bias_u": [-LN_3],
    }

    assert by_hand(MinimalRNN(1, 1), weights, [1], [2]) == near([13 / 8], [13 / 8])


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = MinimalRNN(48, 128)

    assert_starts_as_in_torch(cell)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(MinimalRNN(x, h)) == h * x + 2 * h * h + 2 * h
