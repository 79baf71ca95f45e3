import math

import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import carried, set_to
from torch.nn import functional

from cellbench.cells.ltc import LTC, LTCState
from cellbench.errors import OptionError
from cellbench.unroll import unroll

NAMES = {
    "leak": "gleak",
    "rest": "vleak",
    "capacity": "cm",
    "neurons.weight": "w",
    "neurons.slope": "sigma",
    "neurons.centre": "mu",
    "neurons.reversal": "erev",
    "senses.weight": "sensory_w",
    "senses.slope": "sensory_sigma",
    "senses.centre": "sensory_mu",
    "senses.reversal": "sensory_erev",
    "scale_in": "input_w",
    "shift_in": "input_b",
    "scale_out": "output_w",
    "shift_out": "output_b",
}
"""Ours, and those of ncps."""


@pytest.mark.parametrize("unfolds", [1, 6])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_ncps(time: int, unfolds: int) -> None:
    wiring = foreign("ncps.wirings").FullyConnected(5)
    module = foreign("ncps.torch").LTCCell(
        wiring, 3, ode_unfolds=unfolds, implicit_param_constraints=True
    )
    weights = {ours: module.double().get_parameter(theirs) for ours, theirs in NAMES.items()}
    for n, weight in enumerate(weights.values()):
        weight.data = draw(*weight.shape, seed=100 + n)

    assert_same(
        with_weights(LTC(3, 5, unfolds=unfolds), weights),
        carried(module, {}),
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="ltc",
        against="ncps: LTCCell",
    )


def above_zero(value: float) -> float:
    """Return what softplus makes `value` of."""
    return math.log(math.expm1(value))


def test_one_step_by_hand() -> None:
    """One unfold, v = 2, x = 1; C = 2, G = 1, rest = 3.

    neuron: w = 4, sigmoid(ln 3 (2 - 1)) = 3/4            g = 3, E = -1:  current -3
    sense:  2 * 1 + 1 = 3; w = 8/3, sigmoid(ln 3 / 2 (3 - 1)) = 3/4
                                                          g = 2, E = 1/2: current  1

    v = (2 * 2 + 1 * 3 - 3 + 1) / (2 + 1 + 3 + 2) = 5/8,    y = 2 * 5/8 + 1 = 9/4.
    """
    values = {
        "leak": [above_zero(1)],
        "rest": [3],
        "capacity": [above_zero(2)],
        "neurons.weight": [above_zero(4)],
        "neurons.slope": [LN_3],
        "neurons.centre": [1],
        "neurons.reversal": [-1],
        "senses.weight": [above_zero(8 / 3)],
        "senses.slope": [LN_3 / 2],
        "senses.centre": [1],
        "senses.reversal": [1 / 2],
        "scale_in": [2],
        "shift_in": [1],
        "scale_out": [2],
        "shift_out": [1],
    }
    start = LTCState(torch.full((1, 1), 2.0).double())

    y, last = unroll(set_to(LTC(1, 1, unfolds=1), values), torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(9 / 4, rel=1e-7)
    assert last.v.item() == pytest.approx(5 / 8, rel=1e-7)


def test_a_potential_stays_between_those_that_pull_it() -> None:
    """A step is an average of what v was, what it rests at, and the E: here all within 1."""
    torch.manual_seed(0)
    cell = LTC(3, 8).double()
    with torch.no_grad():
        _, last = unroll(cell, 100 * draw(50, 16, 3))

    assert last.v.abs().max() <= 1
    assert last.v.abs().max() > 0.5


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    cell = LTC(50, 60)
    positive = {"leak": (0.001, 1), "capacity": (0.4, 0.6)}
    ranges = {"rest": (-0.2, 0.2)}
    for part in ("neurons", "senses"):
        positive[f"{part}.weight"] = (0.001, 1)
        ranges |= {f"{part}.slope": (3, 8), f"{part}.centre": (0.3, 0.8)}
        reversal = cell.get_parameter(f"{part}.reversal")
        assert reversal.unique().tolist() == [-1, 1]
        assert abs(reversal.mean().item()) < 0.1
    values = {name: cell.get_parameter(name) for name in ranges}
    values |= {name: functional.softplus(cell.get_parameter(name)) for name in positive}
    for name, (low, high) in (ranges | positive).items():
        margin = 0.1 * (high - low)
        assert low - 1e-6 <= values[name].min() < low + margin
        assert high - margin < values[name].max() <= high + 1e-6
    assert (cell.scale_in == 1).all()
    assert (cell.scale_out == 1).all()
    assert not cell.shift_in.any()
    assert not cell.shift_out.any()
    assert cell.unfolds == 6


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(LTC(x, h)) == 4 * h * h + 4 * h * x + 3 * h + 2 * x + 2 * h


def test_a_bad_option_is_named() -> None:
    with pytest.raises(OptionError, match="unfolds must be a whole number of at least 1"):
        LTC(3, 4, unfolds=0)
