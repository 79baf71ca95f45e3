import math
from collections.abc import Callable

import pytest
import torch
from cell_parity import FORMULAS, LN_3, draw, parameter_count, with_weights
from cell_steps import (
    assert_same_when_warm,
    assert_starts_as_in_torch,
    by_hand,
    drawn,
    near,
    torchrecurrent,
)
from torch import Tensor

from cellbench.cells.nas import NAS


def written_out(weights: dict[str, Tensor], x, state, third: Callable[[Tensor, Tensor], Tensor]):
    """Write the cell out again, as TensorFlow Addons names its nodes: a gate is a matrix."""
    w, u = weights["weight_x"].view(8, 5, 3), weights["weight_h"].view(8, 5, 5)
    b = weights.get("bias", torch.zeros(40).double()).view(8, 5)
    functions = [torch.sigmoid, torch.relu, torch.sigmoid, None] + [torch.tanh, torch.sigmoid] * 2
    h, c = state
    outputs = []
    for x_t in x:
        layer1 = []
        for k, function in enumerate(functions):
            inputs, m = x_t @ w[k].T, h @ u[k].T + b[k]
            layer1.append(function(inputs + m) if function else third(inputs, m).relu())
        layer2 = [
            (layer1[0] * layer1[1]).tanh(),
            (layer1[2] + layer1[3]).tanh(),
            (layer1[4] * layer1[5]).tanh(),
            (layer1[6] + layer1[7]).sigmoid(),
        ]
        c = (layer2[0] + c).tanh() * layer2[1]
        h = (c * (layer2[2] + layer2[3]).tanh()).tanh()
        outputs.append(h)
    return torch.stack(outputs), (h, c)


STATE = [draw(4, 5, seed=1), draw(4, 5, seed=2)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_its_authors(*, time: int, bias: bool) -> None:
    cell = NAS(3, 5, bias=bias)
    weights = drawn(cell)

    def theirs(x, state):
        return written_out(weights, x, state, torch.mul)

    assert_same_when_warm(cell, weights, theirs, time, cell="nas", against=FORMULAS)


def test_the_one_of_torchrecurrent_adds_where_the_paper_multiplies() -> None:
    """So it is nothing to be held to: it is the formula with a_3 + m_3, and far from ours."""
    cell = NAS(3, 5)
    weights = drawn(cell)
    named = {
        "weight_ih": weights["weight_x"],
        "weight_hh": weights["weight_h"],
        "bias_ih": torch.zeros(40).double(),
        "bias_hh": torch.zeros(40).double(),
    }
    x = draw(7, 4, 3)
    theirs, _ = torchrecurrent("NASCell", named)(x, STATE)
    added, _ = written_out(weights, x, STATE, torch.add)
    ours, _ = with_weights(cell, weights)(x, tuple(STATE))

    torch.testing.assert_close(theirs, added)
    assert (theirs - ours).abs().max() > 0.1


def test_one_step_by_hand() -> None:
    """x = 1, h = 1, c = ln 3 / 2 - 1/2; a, m and their sums in units of ln 3

    0: 2 - 1       =  1     sigmoid 3/4      1: 1 - 1/3 = 2/3     relu    2/3 ln 3
    2: -2 + 1      = -1     sigmoid 1/4      3: a * m = ln 3 / 2 - 1/4, so p_1 = 1/2
    4: 1 - 1/2     = 1/2    tanh    1/2      5: 2 - 1   =  1      sigmoid 3/4
    6: 1/4 + 1/4   = 1/2    tanh    1/2      7: 1 - 2   = -1      sigmoid 1/4

    p_0 = tanh(3/4 * 2/3 ln 3) = 1/2, c = tanh(ln 3 / 2) * 1/2 = 1/4, p_2 = tanh(3/8),
    p_3 = sigmoid(3/4), h = tanh(1/4 tanh(p_2 + p_3)).
    """
    product = (LN_3 / 2 - 1 / 4) / LN_3  # in units of ln 3, of which a has the factor
    weights = {
        "weight_x": [LN_3 * a for a in (2, 1, -2, 1, 1, 2, 1 / 4, 1)],
        "weight_h": [*(LN_3 * m for m in (-1, -1 / 3, 1)), product]
        + [LN_3 * m for m in (-1 / 2, -1, 1 / 4, -2)],
    }
    h = math.tanh(1 / 4 * math.tanh(math.tanh(3 / 8) + 1 / (1 + math.exp(-3 / 4))))

    assert by_hand(NAS(1, 1), weights, [1], [1], [LN_3 / 2 - 1 / 2]) == near([h], [h], [1 / 4])


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = NAS(48, 128)

    assert_starts_as_in_torch(cell)


@pytest.mark.parametrize("bias", [False, True])
def test_parameter_count(*, bias: bool) -> None:
    x, h = 7, 11

    assert parameter_count(NAS(x, h, bias=bias)) == 8 * h * (x + h) + bias * 8 * h
