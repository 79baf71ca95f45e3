import math

import pytest
import torch
from cell_parity import (
    FORMULAS,
    LN_3,
    assert_same,
    draw,
    foreign,
    parameter_count,
    results,
    with_weights,
)
from foreign_cells import carried, random_weights, set_to

from cellbench.cells.lem import LEM, LEMState
from cellbench.errors import OptionError
from cellbench.unroll import unroll

STATE = [draw(4, 5, seed=1), draw(4, 5, seed=2)]


def written_out(weights, x, state, dt: float, *, old_z: bool = False):
    """Write the paper's formulas out again, matrix by matrix; or with the old z in y."""
    v_1, v_2, v_z, v_y = weights["weight_x"].split(5)
    w_1, w_2, w_z = weights["weight_y"].split(5)
    b_1, b_2, b_z, b_y = weights["bias"].split(5)
    y, z = state
    outputs = []
    for x_t in x:
        long = dt / (1 + torch.exp(-(y @ w_1.t() + x_t @ v_1.t() + b_1)))
        short = dt / (1 + torch.exp(-(y @ w_2.t() + x_t @ v_2.t() + b_2)))
        before = z
        z = z + short * (torch.tanh(y @ w_z.t() + x_t @ v_z.t() + b_z) - z)
        read = before if old_z else z
        y = y + long * (torch.tanh(read @ weights["weight_z"].t() + x_t @ v_y.t() + b_y) - y)
        outputs.append(y)
    return torch.stack(outputs), (y, z)


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time: int) -> None:
    cell = LEM(3, 5, dt=0.7)
    weights = random_weights(cell)

    def theirs(x, state):
        return written_out(weights, x, state, 0.7)

    assert_same(
        with_weights(cell, weights),
        theirs,
        draw(time, 4, 3),
        STATE,
        weights.values(),
        cell="lem",
        against=FORMULAS,
    )


def test_torchrecurrent_reads_the_old_z() -> None:
    """Why it is not what this cell is held to: it is the formula, but for that."""
    cell = LEM(3, 5, dt=0.7)
    weights = random_weights(cell)
    module = foreign("torchrecurrent").LEMCell(3, 5, dt=0.7)
    theirs = carried(
        module,
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_y"],
            "weight_ch": weights["weight_z"],
            "bias_ih": weights["bias"],
            "bias_hh": torch.zeros(15).double(),
            "bias_ch": torch.zeros(5).double(),
        },
    )
    x = draw(7, 4, 3)
    y, mine = (results(run, x, STATE, [])[0] for run in (theirs, with_weights(cell, weights)))
    old_z, _ = written_out(weights, x, tuple(STATE), 0.7, old_z=True)

    torch.testing.assert_close(y, old_z, rtol=0, atol=1e-12)
    assert (y - mine).abs().max() > 0.1


@pytest.mark.parametrize(("dt", "y", "z"), [(1.0, -1 / 8, 13 / 8), (0.5, 7 / 16, 29 / 16)])
def test_one_step_by_hand(dt: float, y: float, z: float) -> None:
    """y = 1, z = 2, x = 1; in units of ln 3, over y, x, 1

    r: 1 + 1 - 1   =  1    3/4 dt          z': 1 - 2 + 3/2 = 1/2    tanh  1/2
    s: 2 - 4 + 1   = -1    1/4 dt          y': 1 - 2 + 1/2 = -1/2   tanh -1/2, with W_y z = 1

    dt = 1:    z = 3/4 * 2 + 1/4 * 1/2 = 13/8,     y = 1/4 * 1 - 3/4 * 1/2 = -1/8
    dt = 1/2:  z = 7/8 * 2 + 1/8 * 1/2 = 29/16,    y = 5/8 * 1 - 3/8 * 1/2 = 7/16
    """
    cell = LEM(1, 1, dt=dt)
    values = {
        "weight_y": [LN_3, 2 * LN_3, LN_3],
        "weight_x": [LN_3, -4 * LN_3, -2 * LN_3, -2 * LN_3],
        "weight_z": [LN_3 / z],
        "bias": [-LN_3, LN_3, 3 / 2 * LN_3, LN_3 / 2],
    }
    start = LEMState(torch.ones(1, 1).double(), torch.full((1, 1), 2.0).double())

    found, last = unroll(set_to(cell, values), torch.ones(1, 1, 1).double(), start)

    assert found.item() == pytest.approx(y)
    assert last.z.item() == pytest.approx(z)


def test_its_state_stays_between_minus_one_and_one() -> None:
    cell = LEM(3, 5).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            torch.nn.init.normal_(parameter, std=5.0)
        y, last = unroll(cell, 10 * draw(200, 8, 3))

    assert y.abs().max() <= 1
    assert last.z.abs().max() <= 1


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    for parameter in LEM(24, 64).parameters():
        assert 0.95 / 8 < parameter.abs().max() <= 1 / 8
        assert parameter.std().item() == pytest.approx(1 / 8 / math.sqrt(3), rel=0.1)
    assert LEM(1, 2).dt == 1.0


def test_parameter_count() -> None:
    assert parameter_count(LEM(7, 11)) == 4 * 11 * 7 + 4 * 11 * 11 + 4 * 11


def test_a_bad_option_is_named() -> None:
    with pytest.raises(OptionError, match="dt must be a number of at least 1e-12"):
        LEM(3, 4, dt=0.0)
