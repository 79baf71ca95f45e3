import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from cell_steps import assert_uniform, by_hand, near

from cellbench.cells.rhn import RHN, RHNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_labml(time: int, depth: int) -> None:
    torch.manual_seed(0)
    module = foreign("labml_nn.recurrent_highway_networks").RHNCell(3, 5, depth).double()
    weights = {
        "weight_x": module.input_lin.weight,
        "weight_s": torch.stack([layer.weight for layer in module.hidden_lin]),
        "bias": torch.stack([layer.bias for layer in module.hidden_lin]),
    }

    def theirs(x, state):
        outputs, s = [], state[0]
        for x_t in x:
            s = module(x_t, s)
            outputs.append(s)
        return torch.stack(outputs), (s,)

    assert_same(
        with_weights(RHN(3, 5, depth=depth), weights),
        theirs,
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        module.parameters(),
        cell="rhn",
        against="labml-nn: RHNCell",
    )


def test_one_step_by_hand() -> None:
    """x = 1, s = 2, two layers; in units of ln 3

    a: 1 + 2/4 - 1 = 1/2    tanh    1/2
    g: 1 + 2/2 - 1 =  1     sigmoid 3/4     s = 3/4 * 1/2 + 1/4 * 2 = 7/8

    a: (8/7) s - 1/2 = 1/2  tanh    1/2
    g: 1 - (16/7) s  = -1   sigmoid 1/4     s = 1/4 * 1/2 + 3/4 * 7/8 = 25/32
    """
    weights = {
        "weight_x": [LN_3, LN_3],
        "weight_s": [LN_3 / 4, LN_3 / 2, 8 / 7 * LN_3, -16 / 7 * LN_3],
        "bias": [-LN_3, -LN_3, -LN_3 / 2, LN_3],
    }

    assert by_hand(RHN(1, 1, depth=2), weights, [1], [2]) == near([25 / 32], [25 / 32])


def test_a_closed_gate_carries_the_state_through_every_layer() -> None:
    cell = RHN(3, 5, depth=10, gate_bias=-45.0).double()
    s = draw(4, 5)
    y, _ = unroll(cell, draw(50, 4, 3), RHNState(s))

    torch.testing.assert_close(y[-1], s)


@pytest.mark.parametrize(("options", "bias"), [({}, -2.0), ({"gate_bias": -4.0}, -4.0)], ids=str)
def test_it_starts_as_it_says(options: dict, bias: float) -> None:
    torch.manual_seed(0)
    cell = RHN(48, 256, depth=4, **options)
    a, g = cell.bias.chunk(2, dim=1)

    assert_uniform(cell.weight_x, 48**-0.5)
    assert_uniform(cell.weight_s, 256**-0.5)
    assert_uniform(a, 256**-0.5)
    assert (g == bias).all()


def test_parameter_count() -> None:
    x, h, depth = 7, 11, 4

    assert parameter_count(RHN(x, h, depth=depth)) == 2 * h * x + depth * (2 * h * h + 2 * h)
    assert parameter_count(RHN(x, h)) == 2 * h * x + 3 * (2 * h * h + 2 * h)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"depth": 0}, "depth must be a whole number of at least 1"),
        ({"gate_bias": 50.0}, "gate_bias must be a number of at least -50 and below 50"),
        ({"gate_bias": -51.0}, "gate_bias must be a number of at least -50 and below 50"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        RHN(3, 5, **option)
