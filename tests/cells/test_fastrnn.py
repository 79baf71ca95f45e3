import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import carried, random_weights, set_to

from cellbench.cells.fastrnn import FastRNN, FastRNNState
from cellbench.unroll import unroll


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    cell = FastRNN(3, 5)
    weights = random_weights(cell)
    theirs = {
        "weight_ih": weights["weight_x"],
        "weight_hh": weights["weight_h"],
        "bias_ih": weights["bias"],
        "bias_hh": torch.zeros(5).double(),
        "alpha": weights["alpha"],
        "beta": weights["beta"],
    }

    assert_same(
        with_weights(cell, weights),
        carried(foreign("torchrecurrent").FastRNNCell(3, 5), theirs),
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="fastrnn",
        against="torchrecurrent: FastRNNCell",
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2; in units of ln 3: 1 - 2 + 3/2 = 1/2, of which tanh is 1/2.

    sigmoid(alpha) = 3/4, sigmoid(beta) = 1/4: h = 3/8 + 1/2.
    """
    values = {"weight_x": [LN_3], "weight_h": [-LN_3], "bias": [1.5 * LN_3]}
    values |= {"alpha": [LN_3], "beta": [-LN_3]}
    start = FastRNNState(torch.full((1, 1), 2.0).double())

    y, _ = unroll(set_to(FastRNN(1, 1), values), torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(7 / 8)


def test_with_beta_high_and_alpha_low_it_holds_what_it_has() -> None:
    cell = FastRNN(3, 5).double()
    torch.nn.init.constant_(cell.alpha, -50.0)
    torch.nn.init.constant_(cell.beta, 50.0)
    start = FastRNNState(draw(2, 5))

    torch.testing.assert_close(unroll(cell, draw(50, 2, 3), start)[1], start)


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    cell = FastRNN(50, 100)

    assert cell.weight_x.std().item() == pytest.approx(0.1, rel=0.03)
    assert cell.weight_h.std().item() == pytest.approx(0.1, rel=0.03)
    assert (cell.bias == 1).all()
    assert (cell.alpha.item(), cell.beta.item()) == (-3, 3)


def test_parameter_count() -> None:
    assert parameter_count(FastRNN(7, 11)) == 11 * 7 + 11 * 11 + 11 + 2
