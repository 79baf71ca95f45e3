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

from cellbench.cells.peephole_lstm import PeepholeLSTM
from cellbench.errors import OptionError


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = PeepholeLSTM(3, 5)
    weights = drawn(cell)
    theirs = torchrecurrent(
        "PeepholeLSTMCell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "bias_ih": weights["bias"],
            "bias_hh": torch.zeros(20).double(),
            "weight_ph": weights["peepholes"],
        },
    )

    assert_same_when_warm(
        cell,
        weights,
        theirs,
        time,
        cell="peephole_lstm",
        against="torchrecurrent: PeepholeLSTMCell",
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, c = ln 3 - 3/4

    i: ln 3 + ln 3 + 1 (ln 3 - 3/4) - 2 ln 3 + 3/4  =  ln 3      sigmoid 3/4
    f: ln 3 - ln 3 + 2 (ln 3 - 3/4) - 2 ln 3 + 3/2  =  0         sigmoid 1/2
    g: ln 3 - ln 3 / 2                              =  ln 3 / 2  tanh    1/2

    c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2, which the output gate sees already:

    o: ln 3 - ln 3 - 4 (ln 3 / 2) + ln 3            = -ln 3      sigmoid 1/4

    h = 1/4 * 1/2 = 1/8.
    """
    weights = {
        "weight_x": [LN_3] * 4,
        "weight_h": [LN_3 / 2, -LN_3 / 2, -LN_3 / 4, -LN_3 / 2],
        "bias": [3 / 4 - 2 * LN_3, 3 / 2 - 2 * LN_3, 0, LN_3],
        "peepholes": [1, 2, -4],
    }
    found = by_hand(PeepholeLSTM(1, 1), weights, [1], [2], [LN_3 - 3 / 4])

    assert found == near([1 / 8], [1 / 8], [LN_3 / 2])


@pytest.mark.parametrize(("options", "bias"), [({}, 0.0), ({"forget_bias": 2.0}, 2.0)], ids=str)
def test_it_starts_as_it_says(options: dict, bias: float) -> None:
    torch.manual_seed(0)
    cell = PeepholeLSTM(48, 256, **options)
    i, f, g, o = cell.bias.chunk(4)

    assert_starts_as_in_torch(cell, "bias", "peepholes")
    assert_uniform(f - bias, 256**-0.5 * (1 + 1e-5))
    assert_uniform(torch.cat([i, g, o]), 256**-0.5)
    assert not cell.peepholes.any()


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(PeepholeLSTM(x, h)) == 4 * h * (x + h) + 4 * h + 3 * h


def test_a_forget_bias_below_0_is_named() -> None:
    with pytest.raises(OptionError, match="forget_bias must be a number of at least 0"):
        PeepholeLSTM(3, 5, forget_bias=-1.0)
