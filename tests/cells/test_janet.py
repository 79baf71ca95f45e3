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

from cellbench.cells.janet import JANET
from cellbench.errors import OptionError


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int) -> None:
    """Where beta is learned."""
    cell = JANET(3, 5)
    weights = drawn(cell)
    both = torchrecurrent(
        "JANETCell",
        {
            "weight_ih": weights["weight_x"],
            "weight_hh": weights["weight_h"],
            "bias_ih": weights["bias"],
            "bias_hh": torch.zeros(10).double(),
            "beta": torch.tensor(1.0).double(),
        },
    )

    def theirs(x, state):
        """Give its h a second time, as the memory that it takes, and drop what is the same."""
        y, last = both(x, (state[0], state[0]))
        return y, last[1:]

    assert_same_when_warm(
        cell, weights, theirs, time, cell="janet", against="torchrecurrent: JANETCell"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, beta = 2 ln 3; in units of ln 3

    s: 1 + 2/2 - 1 =  1     sigmoid 3/4;  less 2, -1, sigmoid 1/4
    n: 1 + 2/4 - 1 = 1/2    tanh    1/2

    h = 3/4 * 2 + (1 - 1/4) * 1/2 = 15/8.
    """
    weights = {
        "weight_x": [LN_3, LN_3],
        "weight_h": [LN_3 / 2, LN_3 / 4],
        "bias": [-LN_3, -LN_3],
    }
    found = by_hand(JANET(1, 1, beta=2 * LN_3), weights, [1], [2])

    assert found == near([15 / 8], [15 / 8])


@pytest.mark.parametrize(("options", "longest"), [({}, 100), ({"t_max": 784}, 784)], ids=str)
def test_its_features_start_out_forgetting_at_different_speeds(options, longest) -> None:
    """exp(b) is even between 1 and t_max - 1: few forget fast."""
    torch.manual_seed(0)
    cell = JANET(48, 512, **options)
    forget, candidate = cell.bias.chunk(2)
    steps = forget.exp()

    assert_starts_as_in_torch(cell, "bias")
    assert not candidate.any()
    assert 1 <= steps.min() < 1 + 0.005 * longest
    assert 0.995 * longest - 1 < steps.max() <= (longest - 1) * (1 + 1e-5)
    assert steps.mean().item() == pytest.approx(longest / 2, rel=0.06)


def test_it_can_start_as_in_torch() -> None:
    torch.manual_seed(0)

    assert_starts_as_in_torch(JANET(48, 128, init="torch"))


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(JANET(x, h)) == 2 * h * (x + h) + 2 * h


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"beta": -0.5}, "beta must be a number of at least 0"),
        ({"init": "chronos"}, "init must be one of chrono, torch"),
        ({"t_max": 2}, "t_max must be a whole number of at least 3"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        JANET(3, 5, **option)
