import math
import warnings

import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from cell_steps import by_hand, drawn, near

from cellbench.cells.sru import SRU
from cellbench.errors import OptionError


@pytest.mark.parametrize("inputs", [3, 5])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_its_authors(time: int, inputs: int) -> None:
    """Which stacks its matrices feature by feature, and scales in float32."""
    cell = SRU(inputs, 5, rescale=False)
    weights = drawn(cell)
    module = foreign("sru").SRUCell(inputs, 5, rescale=False).double()
    matrices = [*weights["weight"].chunk(3), *([weights["weight_skip"]] if inputs == 3 else [])]
    theirs = {
        "weight": torch.stack(matrices, dim=1).flatten(0, 1).t(),
        "weight_c": weights["weight_c"],
        "bias": weights["bias"],
    }

    def run(x, state):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is slow on a CPU
            y, c = torch.func.functional_call(module, theirs, (x, state[0]))
        return y, (c,)

    assert_same(
        with_weights(cell, weights),
        run,
        draw(time, 4, inputs),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="sru",
        against="sru: SRUCell",
    )


WEIGHTS = {"weight_c": [LN_3, -LN_3 / 2], "bias": [LN_3, -LN_3]}


@pytest.mark.parametrize(
    ("options", "h"),
    [({"rescale": False}, 3 / 2), ({"highway_bias": math.log(4)}, 3)],
    ids=str,
)
def test_one_step_by_hand(options: dict, h: float) -> None:
    """x = 1, c = 2, u = 6; in units of ln 3

    f: -2 + 2 + 1 =  1    sigmoid 3/4
    r:  1 - 1 - 1 = -1    sigmoid 1/4

    c = 3/4 * 2 + 1/4 * 6 = 3,  h = 1/4 * 3 + 3/4 * a with a = 1, or sqrt(1 + 2 * 4) = 3.
    """
    weights = WEIGHTS | {"weight": [6, -2 * LN_3, LN_3]}

    assert by_hand(SRU(1, 1, **options), weights, [1], [2]) == near([h], [3])


def test_one_step_by_hand_of_another_width() -> None:
    """As above, but x = (1, 1), W = (2 + 4, ...) and W_s x = 3 + 2: h = 3/4 + 3/4 * 5 = 9/2."""
    weights = WEIGHTS | {
        "weight": [2, 4, -LN_3, -LN_3, 3 * LN_3, -2 * LN_3],
        "weight_skip": [3, 2],
    }

    assert by_hand(SRU(2, 1), weights, [1, 1], [2]) == near([9 / 2], [3])


def uniform(weight: torch.Tensor, reach: float) -> None:
    assert weight.abs().max() <= reach
    assert weight.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("inputs", [48, 64])
def test_it_starts_as_published(inputs: int) -> None:
    torch.manual_seed(0)
    cell = SRU(inputs, 64, highway_bias=math.log(4))
    candidate, forget, reset = cell.weight.chunk(3)
    b_f, b_r = cell.bias.chunk(2)

    uniform(candidate, math.sqrt(3 / inputs))
    uniform(forget, math.sqrt(3 / inputs / 2))
    uniform(reset, math.sqrt(3 / inputs / 2))
    assert cell.weight_c.abs().max() <= math.sqrt(3 / 2)
    assert cell.weight_c.std().item() == pytest.approx(math.sqrt(1 / 2), rel=0.1)
    assert not b_f.any()
    torch.testing.assert_close(b_r, torch.full((64,), math.log(4)))
    if inputs == 48:
        uniform(cell.weight_skip, 3 * math.sqrt(3 / inputs))


def test_its_gates_start_without_a_bias_unless_one_is_given() -> None:
    assert not SRU(3, 5).bias.any()


def test_it_keeps_the_variance_of_its_input_at_the_start() -> None:
    """Which is what the scale is for: without, it would be a third of it, and less."""
    torch.manual_seed(0)
    x = torch.randn(1, 400, 256)
    spread = []
    for rescale in (True, False):
        cell = SRU(256, 256, rescale=rescale)
        p, state = cell.project(x), cell.initial_state(400)
        spread.append(cell.step(type(p)(*(part[0] for part in p)), state)[0].var().item())

    assert spread[0] == pytest.approx(1, abs=0.2)
    assert spread[1] < 0.5


@pytest.mark.parametrize("x", [7, 11])
def test_parameter_count(x: int) -> None:
    h = 11

    assert parameter_count(SRU(x, h)) == 3 * h * x + (h * x if x != h else 0) + 4 * h


@pytest.mark.parametrize("bias", [-50.5, 50.0, float("nan")])
def test_a_bias_that_it_cannot_take_is_named(bias: float) -> None:
    with pytest.raises(OptionError, match=r"highway_bias must be .* at least -50 and below 50"):
        SRU(3, 5, highway_bias=bias)
