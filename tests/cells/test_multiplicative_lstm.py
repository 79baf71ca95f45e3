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

from cellbench.cells.multiplicative_lstm import MultiplicativeLSTM
from cellbench.cells.stacked_gates import MemoryState
from cellbench.unroll import unroll


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    """Which has biases in the factors of m, too."""
    cell = MultiplicativeLSTM(3, 5)
    weights = drawn(cell)
    theirs = torchrecurrent(
        "MultiplicativeLSTMCell",
        {
            "weight_ih": torch.cat([weights["weight_mx"], weights["weight_x"]]),
            "weight_hh": weights["weight_mh"],
            "weight_mh": weights["weight_h"],
            "bias_ih": torch.cat([torch.zeros(5).double(), weights["bias"]]),
            "bias_hh": torch.zeros(5).double(),
            "bias_mh": torch.zeros(20).double(),
        },
    )

    assert_same_when_warm(
        cell,
        weights,
        theirs,
        time,
        cell="multiplicative_lstm",
        against="torchrecurrent: MultiplicativeLSTMCell",
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, c = ln 3 - 3/4, m = 3 * (1/3 * 2) = 2; in units of ln 3

    i: 1 + 2/2 - 1 =  1     sigmoid 3/4
    f: 1 - 2/2     =  0     sigmoid 1/2
    g: 1 - 2/4     = 1/2    tanh    1/2
    o: 1 - 2/2 - 1 = -1     sigmoid 1/4

    c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2,  h = 1/4 * 1/2 = 1/8.
    """
    weights = {
        "weight_mx": [3],
        "weight_mh": [1 / 3],
        "weight_x": [LN_3] * 4,
        "weight_h": [LN_3 / 2, -LN_3 / 2, -LN_3 / 4, -LN_3 / 2],
        "bias": [-LN_3, 0, 0, -LN_3],
    }
    found = by_hand(MultiplicativeLSTM(1, 1), weights, [1], [2], [LN_3 - 3 / 4])

    assert found == near([1 / 8], [1 / 8], [LN_3 / 2])


def test_without_input_it_does_not_see_its_state() -> None:
    cell = MultiplicativeLSTM(3, 5).double()
    x = torch.zeros(1, 4, 3).double()
    c = draw(4, 5)

    y, _ = unroll(cell, x, MemoryState(draw(4, 5, seed=1), c))
    other, _ = unroll(cell, x, MemoryState(draw(4, 5, seed=2), c))

    torch.testing.assert_close(y, other, rtol=0, atol=0)


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = MultiplicativeLSTM(48, 128)

    assert_starts_as_in_torch(cell)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(MultiplicativeLSTM(x, h)) == 5 * h * x + 5 * h * h + 4 * h
