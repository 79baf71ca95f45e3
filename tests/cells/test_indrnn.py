import math

import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import carried, random_weights, set_to

from cellbench.cells.indrnn import IndRNN, IndRNNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torchrecurrent(time: int, nonlinearity: str) -> None:
    cell = IndRNN(3, 5, nonlinearity=nonlinearity)
    weights = random_weights(cell)
    module = foreign("torchrecurrent").IndRNNCell(3, 5, nonlinearity=nonlinearity)
    theirs = {
        "weight_ih": weights["weight_x"],
        "vector_u": weights["weight_h"],
        "bias_ih": weights["bias"],
        "bias_hh": torch.zeros(5).double(),
    }

    assert_same(
        with_weights(cell, weights),
        carried(module, theirs),
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="indrnn",
        against="torchrecurrent: IndRNNCell",
    )


def by_hand(cell: IndRNN, x: list[float], h: list[float]) -> list[list[float]]:
    start = IndRNNState(torch.tensor([h]).double())
    y, _ = unroll(cell, torch.tensor(x).double().view(-1, 1, 1), start)
    return y[:, 0].tolist()


def test_two_steps_by_hand() -> None:
    """x = 1, h = (4, 1): (1 + 2 + 1/2, -2 - 3 + 1) = (7/2, -4), of which relu leaves (7/2, 0).

    x = -1: (-1 + 7/4 + 1/2, 2 + 0 + 1) = (5/4, 3).
    """
    values = {"weight_x": [1, -2], "weight_h": [1 / 2, -3], "bias": [1 / 2, 1]}
    cell = set_to(IndRNN(1, 2), values)

    torch.testing.assert_close(by_hand(cell, [1.0, -1.0], [4.0, 1.0]), [[3.5, 0.0], [1.25, 3.0]])


def test_a_step_by_hand_with_tanh() -> None:
    """In units of ln 3: 1 - 1 + 1/2 = 1/2."""
    values = {"weight_x": [LN_3], "weight_h": [-LN_3], "bias": [LN_3 / 2]}
    cell = set_to(IndRNN(1, 1, nonlinearity="tanh"), values)

    torch.testing.assert_close(by_hand(cell, [1.0], [1.0]), [[1 / 2]])


def test_over_the_steps_named_nothing_more_than_doubles() -> None:
    """u = (3, -3, 1) is read as (2^(1/8), -2^(1/8), 1)."""
    values = {"weight_x": [0, 0, 0], "weight_h": [3, -3, 1], "bias": [0, 0, 0]}
    cell = set_to(IndRNN(1, 3, steps=8, nonlinearity="relu"), values)
    once = by_hand(cell, [0.0], [1.0, -1.0, 1.0])[-1]
    last = by_hand(cell, [0.0] * 8, [1.0, 1.0, 1.0])[-1]

    torch.testing.assert_close(once, [2 ** (1 / 8), 2 ** (1 / 8), 1.0])
    torch.testing.assert_close(last, [2.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({}, 0, 1),
        ({"steps": 2}, 0, math.sqrt(2)),
        ({"steps": 2, "init": "long"}, math.sqrt(1 / 2), math.sqrt(2)),
    ],
    ids=str,
)
def test_it_starts_as_published(options: dict[str, object], low: float, high: float) -> None:
    torch.manual_seed(0)
    cell = IndRNN(50, 1000, **options)
    u, reach = cell.weight_h, math.sqrt(6 / (65 * 50))

    assert low <= u.min() < low + 0.01
    assert high - 0.01 < u.max() <= high
    assert u.mean().item() == pytest.approx((low + high) / 2, abs=0.03)
    assert 0.99 * reach < cell.weight_x.abs().max() <= reach
    assert cell.weight_x.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.03)
    assert not cell.bias.any()


def test_parameter_count() -> None:
    assert parameter_count(IndRNN(7, 11)) == 11 * 7 + 11 + 11


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nonlinearity": "sigmoid"}, "nonlinearity must be one of relu, tanh"),
        ({"steps": -1}, "steps must be a whole number of at least 0"),
        ({"init": "paper"}, "init must be one of short, long"),
        ({"init": "long"}, "steps must be at least 1 for init='long'"),
    ],
    ids=str,
)
def test_a_bad_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        IndRNN(3, 4, **options)
