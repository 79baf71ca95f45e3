import math

import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import carried, random_weights, set_to

from cellbench.cells.cornn import CoRNN, CoRNNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    settings = {"dt": 0.2, "gamma": 1.3, "epsilon": 0.7}
    cell = CoRNN(3, 5, **settings)
    weights = random_weights(cell)
    zeros = torch.zeros(5).double()
    theirs = {
        "weight_ih": weights["weight_x"],
        "weight_hh": weights["weight_y"],
        "weight_ch": weights["weight_z"],
        "bias_ih": weights["bias"],
        "bias_hh": zeros,
        "bias_ch": zeros,
    }

    assert_same(
        with_weights(cell, weights),
        carried(foreign("torchrecurrent").coRNNCell(3, 5, **settings), theirs),
        draw(time, 4, 3),
        [draw(4, 5, seed=1), draw(4, 5, seed=2)],
        weights.values(),
        cell="cornn",
        against="torchrecurrent: coRNNCell",
    )


def test_one_step_by_hand() -> None:
    """y = 1, z = 2, x = 1. In units of ln 3: 1 - 2 + 1 + 1/2 = 1/2, of which tanh is 1/2.

    z = 2 + 1/2 (1/2 - 1 * 1 - 1/4 * 2) = 3/2,    y = 1 + 1/2 * 3/2 = 7/4.
    """
    cell = CoRNN(1, 1, dt=0.5, gamma=1.0, epsilon=0.25)
    values = {"weight_y": [LN_3], "weight_z": [-LN_3], "weight_x": [LN_3], "bias": [LN_3 / 2]}
    start = CoRNNState(torch.ones(1, 1).double(), torch.full((1, 1), 2.0).double())

    y, (_, z) = unroll(set_to(cell, values), torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(7 / 4)
    assert z.item() == pytest.approx(3 / 2)


def swinging(epsilon: float, steps: int) -> float:
    """Return where an oscillator is that was let go at 1, with gamma = 4; dt is 1 / 1000."""
    cell = CoRNN(1, 1, dt=1e-3, gamma=4.0, epsilon=epsilon).double()
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    start = CoRNNState(torch.ones(1, 1).double(), torch.zeros(1, 1).double())
    with torch.no_grad():
        return unroll(cell, torch.zeros(steps, 1, 1).double(), start)[0][-1].item()


def test_an_oscillator_by_itself_swings_with_the_root_of_gamma() -> None:
    """Half a period is pi / sqrt(gamma); damped, the envelope is exp(-epsilon t / 2)."""
    half = round(1000 * math.pi / 2)
    damped = 2 * math.pi / math.sqrt(16 - 0.4**2)

    assert swinging(0.0, half) == pytest.approx(-1, abs=1e-2)
    assert swinging(0.4, round(1000 * damped)) == pytest.approx(-math.exp(-0.2 * damped), abs=1e-2)


def test_it_starts_as_one_layer_of_all_it_reads() -> None:
    torch.manual_seed(0)
    reach = (24 + 2 * 60) ** -0.5
    for parameter in CoRNN(24, 60).parameters():
        assert 0.9 * reach < parameter.abs().max() <= reach
        assert parameter.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.2)


def test_its_defaults_are_those_for_sequential_mnist() -> None:
    assert (CoRNN(1, 2).dt, CoRNN(1, 2).gamma, CoRNN(1, 2).epsilon) == (0.042, 2.7, 4.7)


def test_parameter_count_is_published() -> None:
    """134 thousand for sequential MNIST, with 256 units and a layer to 10 classes."""
    assert parameter_count(CoRNN(7, 11)) == 11 * 7 + 2 * 11 * 11 + 11
    assert round((parameter_count(CoRNN(1, 256)) + 2570) / 1000) == 134


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dt": 0.0}, "dt must be a number of at least 1e-12"),
        ({"gamma": -1.0}, "gamma must be a number of at least 0"),
        ({"epsilon": -1.0}, "epsilon must be a number of at least 0"),
    ],
    ids=str,
)
def test_a_bad_option_is_named(options: dict[str, float], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        CoRNN(3, 4, **options)
