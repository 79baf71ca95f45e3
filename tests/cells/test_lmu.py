import math

import numpy as np
import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import random_weights, set_to
from numpy.polynomial import legendre

from cellbench.cells.lmu import LMU, LMUState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


def held_for_a_step(order: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return A and B by scipy's zero-order hold."""
    a, b = np.empty((order, order)), np.empty((order, 1))
    for i in range(order):
        b[i, 0] = (2 * i + 1) / theta * (-1) ** i
        for j in range(order):
            a[i, j] = (2 * i + 1) / theta * (-1.0 if i < j else (-1.0) ** (i - j + 1))
    system = (a, b, np.eye(order), np.zeros((order, 1)))
    a, b, *_ = foreign("scipy.signal").cont2discrete(system, dt=1.0, method="zoh")
    return a, b[:, 0]


@pytest.mark.parametrize(("order", "theta"), [(1, 2.0), (6, 4.0), (32, 100.0), (256, 784.0)])
def test_its_window_is_the_one_of_scipy(order: int, theta: float) -> None:
    a, b = held_for_a_step(order, theta)
    cell = LMU(3, 4, order=order, theta=theta)

    torch.testing.assert_close(cell.decay, torch.from_numpy(a), rtol=0, atol=1e-12)
    torch.testing.assert_close(cell.write, torch.from_numpy(b), rtol=0, atol=1e-12)


def written_out(weights, x, state, a, b):
    """Write the paper's formulas out again: one number of the memory at a time."""
    h, m = state
    outputs = []
    for x_t in x:
        u = (
            (x_t * weights["encode_x"]).sum(1)
            + (h * weights["encode_h"]).sum(1)
            + (m * weights["encode_m"]).sum(1)
        )
        m = torch.stack(
            [sum(a[i][j] * m[:, j] for j in range(len(b))) + b[i] * u for i in range(len(b))], dim=1
        )
        h = torch.tanh(
            torch.cat([x_t, h, m], dim=1)
            @ torch.cat([weights["weight_x"], weights["weight_h"], weights["weight_m"]], dim=1).t()
        )
        outputs.append(h)
    return torch.stack(outputs), (h, m)


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_with_the_window_of_scipy(time: int) -> None:
    cell = LMU(3, 5, order=4, theta=6.0)
    weights = random_weights(cell, scale=0.3)
    a, b = held_for_a_step(4, 6.0)

    def theirs(x, state):
        return written_out(weights, x, state, a.tolist(), b.tolist())

    assert_same(
        with_weights(cell, weights),
        theirs,
        draw(time, 4, 3),
        [draw(4, 5, seed=1), draw(4, 4, seed=2)],
        weights.values(),
        cell="lmu",
        against="scipy: signal.cont2discrete",
    )


def test_one_step_by_hand() -> None:
    """One polynomial, theta = 1 / ln 2: A = e^(-ln 2) = 1/2 and B = 1 - A = 1/2.

    x = 1, h = 2, m = 4: u = 3 - 2 + 1/2 * 4 = 3, m = 2 + 3/2 = 7/2, and in units of ln 3
    -1 + 1/2 + 1 = 1/2, of which tanh is 1/2.
    """
    cell = LMU(1, 1, order=1, theta=1 / math.log(2))
    values = {
        "encode_x": [3],
        "encode_h": [-1],
        "encode_m": [1 / 2],
        "weight_x": [-LN_3],
        "weight_h": [LN_3 / 4],
        "weight_m": [2 / 7 * LN_3],
    }
    start = LMUState(torch.full((1, 1), 2.0).double(), torch.full((1, 1), 4.0).double())

    y, (_, m) = unroll(set_to(cell, values), torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(1 / 2)
    assert m.item() == pytest.approx(7 / 2)


@pytest.mark.parametrize("r", [0.0, 0.25, 0.5, 1.0])
def test_its_memory_is_what_the_signal_was(r: float) -> None:
    """Legendre polynomials over the window give the signal r theta steps ago."""
    cell = LMU(1, 2, order=12, theta=200.0).double()
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.ones_(cell.encode_x)
    times = torch.arange(1000).double()
    signal = torch.sin(times / 30) + 0.5 * torch.cos(times / 47)

    with torch.no_grad():
        _, (_, m) = unroll(cell, signal.view(-1, 1, 1))
    found = legendre.legval(2 * r - 1, m[0].numpy())

    # Not exactly: twelve polynomials, and a signal held for a step is half a step late.
    assert found == pytest.approx(signal[999 - round(200 * r)].item(), abs=0.03)


def test_a_float32_cell_that_is_made_float64_has_an_exact_window() -> None:
    a, _ = held_for_a_step(4, 6.0)
    cell = LMU(3, 4, order=4, theta=6.0)

    torch.testing.assert_close(cell.double().decay, torch.from_numpy(a), rtol=0, atol=1e-14)
    assert cell.float().project(torch.zeros(1, 1, 3)).decay.dtype == torch.float32


def test_its_window_is_no_part_of_what_is_saved() -> None:
    assert set(LMU(3, 4).state_dict()) == {name for name, _ in LMU(3, 4).named_parameters()}


def test_its_defaults_are_32_polynomials_over_100_steps() -> None:
    torch.testing.assert_close(LMU(3, 4).decay, LMU(3, 4, order=32, theta=100.0).decay)


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    cell = LMU(300, 200, order=100)

    assert cell.encode_x.abs().max() <= math.sqrt(3 / 300)
    assert cell.encode_x.std().item() == pytest.approx(300**-0.5, rel=0.1)
    assert cell.encode_h.std().item() == pytest.approx(200**-0.5, rel=0.1)
    assert cell.encode_h.abs().max() <= math.sqrt(3 / 200)
    assert not cell.encode_m.any()
    for weight, inputs in ((cell.weight_x, 300), (cell.weight_h, 200), (cell.weight_m, 100)):
        assert weight.std().item() == pytest.approx(math.sqrt(2 / (200 + inputs)), rel=0.02)


def test_parameter_count_is_published() -> None:
    """102 thousand for permuted MNIST: 212 units, 256 polynomials, a layer to 10 classes."""
    assert parameter_count(LMU(7, 11, order=5)) == 7 + 11 + 5 + 11 * (7 + 11 + 5)
    assert round((parameter_count(LMU(1, 212, order=256, theta=784.0)) + 2130) / 1000) == 102


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order": 0}, "order must be a whole number of at least 1"),
        ({"theta": 0.5}, "theta must be a number of at least 1"),
    ],
    ids=str,
)
def test_a_bad_option_is_named(options: dict[str, float], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        LMU(3, 4, **options)
