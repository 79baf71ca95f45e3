import math

import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import carried, random_weights, set_to

from cellbench.cells.unicornn import UnICORNN, UnICORNNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    settings = {"dt": 0.3, "alpha": 1.7}
    cell = UnICORNN(3, 5, **settings)
    weights = random_weights(cell)
    theirs = {
        "weight_ih": weights["weight_x"],
        "weight_hh": weights["weight_y"],
        "weight_ch": weights["clock"],
        "bias_ih": weights["bias"],
        "bias_hh": torch.zeros(5).double(),
    }

    assert_same(
        with_weights(cell, weights),
        carried(foreign("torchrecurrent").UnICORNNCell(3, 5, **settings), theirs),
        draw(time, 4, 3),
        [draw(4, 5, seed=1), draw(4, 5, seed=2)],
        weights.values(),
        cell="unicornn",
        against="torchrecurrent: UnICORNNCell",
    )


def test_one_step_by_hand() -> None:
    """y = 2, z = 3, x = 2; sigmoid(c) = 3/4 and dt = 2/3 make s = 1/2.

    In units of ln 3: 2 - 2 + 1/2 = 1/2, of which tanh is 1/2; alpha = 1.
    z = 3 - 1/2 (1/2 + 2) = 7/4,    y = 2 + 1/2 * 7/4 = 23/8.
    """
    cell = UnICORNN(1, 1, dt=2 / 3, alpha=1.0)
    values = {"weight_y": [LN_3], "weight_x": [-LN_3], "bias": [LN_3 / 2], "clock": [LN_3]}
    start = UnICORNNState(torch.full((1, 1), 2.0).double(), torch.full((1, 1), 3.0).double())

    y, (_, z) = unroll(set_to(cell, values), torch.full((1, 1, 1), 2.0).double(), start)

    assert y.item() == pytest.approx(23 / 8)
    assert z.item() == pytest.approx(7 / 4)


def test_a_step_preserves_volume() -> None:
    """The determinant of the state's derivative is 1, whatever the weights."""
    cell = UnICORNN(3, 5).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    p_t = cell.project(draw(1, 1, 3))[0]

    def step(both):
        _, (y, z) = cell.step(p_t, UnICORNNState(both[None, :5], both[None, 5:]))
        return torch.cat([y[0], z[0]])

    derivative = torch.autograd.functional.jacobian(step, draw(10, seed=1))

    torch.testing.assert_close(torch.linalg.det(derivative).item(), 1.0)


def test_its_steps_can_be_taken_back() -> None:
    torch.manual_seed(0)
    cell = UnICORNN(3, 5).double()
    x, start = draw(50, 2, 3), UnICORNNState(draw(2, 5, seed=1), draw(2, 5, seed=2))
    with torch.no_grad():
        _, (y, z) = unroll(cell, x, start)
        s = 0.19 / (1 + torch.exp(-cell.clock))
        for x_t in x.flip(0):
            y = y - s * z
            drive = x_t @ cell.weight_x.t() + cell.bias + cell.weight_y * y
            z = z + s * (drive.tanh() + 30.65 * y)

    torch.testing.assert_close((y, z), tuple(start), rtol=0, atol=1e-10)


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    cell = UnICORNN(50, 1000)
    reach = math.sqrt(6 / (65 * 50))

    assert 0 <= cell.weight_y.min() < 0.01
    assert 0.99 < cell.weight_y.max() <= 1
    assert -0.1 <= cell.clock.min() < -0.099
    assert 0.099 < cell.clock.max() <= 0.1
    assert 0.99 * reach < cell.weight_x.abs().max() <= reach
    assert not cell.bias.any()
    assert (cell.dt, cell.alpha) == (0.19, 30.65)


def test_parameter_count() -> None:
    assert parameter_count(UnICORNN(7, 11)) == 11 * 7 + 11 + 11 + 11


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dt": 0.0}, "dt must be a number of at least 1e-12"),
        ({"alpha": -1.0}, "alpha must be a number of at least 0"),
    ],
    ids=str,
)
def test_a_bad_option_is_named(options: dict[str, float], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        UnICORNN(3, 4, **options)
