import pytest
import torch
from cell_parity import LN_3, foreign, parameter_count
from cell_steps import assert_same_when_warm, assert_starts_as_in_torch, by_hand, drawn, near

from cellbench.cells.sub_lstm import SubLSTM


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_another_project(time: int) -> None:
    cell = SubLSTM(3, 5)
    weights = drawn(cell)
    step = foreign("subLSTM.functional").SubLSTMCell

    def theirs(x, state):
        outputs = []
        for x_t in x:
            state = step(x_t, state, weights["weight_x"], weights["weight_h"], weights["bias"])
            outputs.append(state[0])
        return torch.stack(outputs), state

    assert_same_when_warm(
        cell, weights, theirs, time, cell="sub_lstm", against="pytorch-sublstm: SubLSTMCell"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, c = 2 ln 3 - 1; in units of ln 3

    i: 1 - 2/2 - 1 = -1     sigmoid 1/4
    f: 1 - 2/2     =  0     sigmoid 1/2
    z: 1 + 2/2 - 1 =  1     sigmoid 3/4
    o: 1 + 2   - 1 =  2     sigmoid 9/10

    c = 1/2 (2 ln 3 - 1) + 3/4 - 1/4 = ln 3,  h = 3/4 - 9/10 = -3/20.
    """
    weights = {
        "weight_x": [LN_3] * 4,
        "weight_h": [-LN_3 / 2, -LN_3 / 2, LN_3 / 2, LN_3],
        "bias": [-LN_3, 0, -LN_3, -LN_3],
    }
    found = by_hand(SubLSTM(1, 1), weights, [1], [2], [2 * LN_3 - 1])

    assert found == near([-3 / 20], [-3 / 20], [LN_3])


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = SubLSTM(48, 128)

    assert_starts_as_in_torch(cell)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(SubLSTM(x, h)) == 4 * h * (x + h) + 4 * h
