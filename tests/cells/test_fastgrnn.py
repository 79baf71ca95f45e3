import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, results, with_weights
from foreign_cells import carried, random_weights, set_to
from torch import Tensor

from cellbench.cells.fastgrnn import FastGRNN, FastGRNNState
from cellbench.unroll import unroll


def named_as_theirs(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "weight_ih": weights["weight_x"],
        "weight_hh": weights["weight_h"],
        "bias_ih": torch.cat([weights["bias_z"], weights["bias_h"]]),
        "bias_hh": torch.zeros(10).double(),
        "zeta": weights["zeta"],
        "nu": weights["nu"],
    }


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = FastGRNN(3, 5)
    weights = random_weights(cell)
    module = foreign("torchrecurrent").FastGRNNCell(3, 5, nonlinearity="sigmoid")

    assert_same(
        with_weights(cell, weights),
        carried(module, named_as_theirs(weights)),
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="fastgrnn",
        against="torchrecurrent: FastGRNNCell, nonlinearity=sigmoid",
    )


def test_by_default_torchrecurrent_squashes_the_gate_with_tanh() -> None:
    cell = FastGRNN(3, 5)
    weights, x, state = random_weights(cell), draw(7, 4, 3), [draw(4, 5, seed=1)]
    theirs = carried(foreign("torchrecurrent").FastGRNNCell(3, 5), named_as_theirs(weights))

    y, mine = (results(run, x, state, [])[0] for run in (theirs, with_weights(cell, weights)))

    assert (y - mine).abs().max() > 0.5


def test_one_step_by_hand() -> None:
    """x = 1, h = 3; in units of ln 3: p = 1 - 3/2 = -1/2.

    z: -1/2 - 1/2 = -1, sigmoid 1/4    c: -1/2 + 1 = 1/2, tanh 1/2
    zeta: 1, sigmoid 3/4               nu: -1, sigmoid 1/4

    h = (3/4 * 3/4 + 1/4) * 1/2 + 1/4 * 3 = 13/32 + 3/4 = 37/32.
    """
    values = {"weight_x": [LN_3], "weight_h": [-LN_3 / 2]}
    values |= {"bias_z": [-LN_3 / 2], "bias_h": [LN_3], "zeta": [LN_3], "nu": [-LN_3]}
    start = FastGRNNState(torch.full((1, 1), 3.0).double())

    y, _ = unroll(set_to(FastGRNN(1, 1), values), torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(37 / 32)


def test_an_open_gate_holds_what_it_has() -> None:
    cell = FastGRNN(3, 5).double()
    torch.nn.init.constant_(cell.bias_z, 50.0)
    torch.nn.init.constant_(cell.nu, -50.0)
    start = FastGRNNState(draw(2, 5))

    torch.testing.assert_close(unroll(cell, draw(50, 2, 3), start)[1], start)


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    cell = FastGRNN(50, 100)

    assert cell.weight_x.std().item() == pytest.approx(0.1, rel=0.03)
    assert cell.weight_h.std().item() == pytest.approx(0.1, rel=0.03)
    assert (cell.bias_z == 1).all()
    assert (cell.bias_h == 1).all()
    assert (cell.zeta.item(), cell.nu.item()) == (1, -4)


def test_parameter_count() -> None:
    assert parameter_count(FastGRNN(7, 11)) == 11 * 7 + 11 * 11 + 2 * 11 + 2
