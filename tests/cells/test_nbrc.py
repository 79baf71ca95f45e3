import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from cell_steps import (
    assert_same_when_warm,
    assert_starts_as_in_torch,
    by_hand,
    drawn,
    near,
    torchrecurrent,
)

from cellbench.cells.nbrc import NBRC
from cellbench.cells.stacked_gates import HiddenState
from cellbench.unroll import unroll


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = NBRC(3, 5)
    weights = drawn(cell)
    theirs = torchrecurrent(
        "NBRCell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "bias_ih": weights["bias"],
            "bias_hh": torch.zeros(10).double(),
        },
    )

    assert_same_when_warm(
        cell, weights, theirs, time, cell="nbrc", against="torchrecurrent: NBRCell"
    )


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_another_project(time: int) -> None:
    torch.manual_seed(0)
    module = foreign("brc_pytorch.modules").NBRC(3, 5).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    weights = {"weight_x": module.iw.t(), "weight_h": module.hw.t(), "bias": module.bias}

    def theirs(x, state):
        outputs, parts = [], list(state)
        for x_t in x:
            y, parts = module(x_t, parts)
            outputs.append(y)
        return torch.stack(outputs), tuple(parts)

    assert_same(
        with_weights(NBRC(3, 5), weights),
        theirs,
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        module.parameters(),
        cell="nbrc",
        against="brc: NBRC",
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2; a and c in units of ln 3

    a: 1 + 2/4 - 1 = 1/2    tanh    1/2, so a = 3/2
    c: 1 + 2/2 - 1 =  1     sigmoid 3/4

    The candidate is tanh(-3 + 3/2 * 2 + ln 3 / 2) = 1/2, and h = 3/4 * 2 + 1/4 * 1/2 = 13/8.
    """
    weights = {
        "weight_x": [LN_3, LN_3, -3],
        "weight_h": [LN_3 / 4, LN_3 / 2],
        "bias": [-LN_3, -LN_3, LN_3 / 2],
    }

    assert by_hand(NBRC(1, 1), weights, [1], [2]) == near([13 / 8], [13 / 8])


@pytest.mark.parametrize(("a", "bistable"), [(1.5, True), (0.9, False)])
def test_it_holds_one_of_two_values_without_input_where_a_is_above_1(a, bistable) -> None:
    cell = NBRC(1, 1)
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    cell.bias.data[0] = torch.tensor(a - 1).atanh()
    start = HiddenState(torch.tensor([[-0.1], [0.1]]))
    y, _ = unroll(cell, torch.zeros(300, 2, 1), start)
    low, high = y[-1].flatten().tolist()

    assert low == pytest.approx(-high)
    assert (high > 0.5) == bistable
    assert (high < 1e-3) != bistable


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = NBRC(48, 128)

    assert_starts_as_in_torch(cell)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(NBRC(x, h)) == 3 * h * x + 2 * h * h + 3 * h
