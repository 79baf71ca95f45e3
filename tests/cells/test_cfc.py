import math

import pytest
import torch
from cell_parity import LN_3, assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import carried, random_weights, set_to
from torch import nn

from cellbench.cells.cfc import CfC, CfCState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_ncps(time: int, mode: str, layers: int) -> None:
    settings = {"mode": mode, "backbone_units": 6, "backbone_layers": layers}
    cell = CfC(3, 5, elapsed=0.7, **settings)
    weights = random_weights(cell)
    names = ["ff1"] if mode == "pure" else ["ff1", "ff2", "time_a", "time_b"]
    theirs = {
        f"{name}.{kind}": block
        for kind in ("weight", "bias")
        for name, block in zip(names, weights[f"heads.{kind}"].split(5), strict=True)
    }
    for n, ours in enumerate(["backbone", "deeper.0", "deeper.1"][:layers]):
        theirs |= {f"backbone.{2 * n}.{k}": weights[f"{ours}.{k}"] for k in ("weight", "bias")}
    if mode == "pure":
        theirs |= {"w_tau": weights["rate"][None], "A": weights["rest"][None]}
    module = foreign("ncps.torch").CfCCell(3, 5, **settings)
    assert set(theirs) == {name for name, _ in module.named_parameters()}

    assert_same(
        with_weights(cell, weights),
        carried(module, theirs, 0.7),
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="cfc",
        against="ncps: CfCCell",
    )


ONE = math.atanh(1 / 1.7159) / 0.666
"""1.7159 tanh(0.666 ONE) = 1."""


def by_hand(mode: str, elapsed: float, values: dict[str, list[float]]) -> float:
    """Run a step with x = 1 and h = 2, of which the backbone makes 3 - 4 + 2 = 1: s = 1."""
    cell = CfC(1, 1, mode=mode, backbone_units=1, elapsed=elapsed)
    backbone = {"backbone.weight": [3 * ONE, -2 * ONE], "backbone.bias": [2 * ONE]}
    start = CfCState(torch.full((1, 1), 2.0).double())
    return unroll(set_to(cell, backbone | values), torch.ones(1, 1, 1).double(), start)[0].item()


@pytest.mark.parametrize(("mode", "h"), [("default", -1 / 4), ("no_gate", 1 / 8)])
def test_one_step_by_hand(mode: str, h: float) -> None:
    """In units of ln 3, with s = 1 and elapsed = 2

    f_1 =  1 - 1/2 =  1/2    tanh  1/2        T_a s + b_a = 2 - 1 =  1
    f_2 = -1 + 1/2 = -1/2    tanh -1/2        T_b s + b_b = 1 - 2 = -1

    z = sigmoid(2 - 1) = 3/4; default: 1/4 * 1/2 - 3/4 * 1/2 = -1/4, no_gate: 1/2 - 3/8 = 1/8.
    """
    heads = {
        "heads.weight": [LN_3, -LN_3, 2 * LN_3, LN_3],
        "heads.bias": [-LN_3 / 2, LN_3 / 2, -LN_3, -2 * LN_3],
    }

    assert by_hand(mode, 2.0, heads) == pytest.approx(h)


def test_one_pure_step_by_hand() -> None:
    """In units of ln 3: f_1 = -2 + 1 = -1 and w = -1, so that e^(-1/2 (1 + 1) ln 3) = 1/3.

    A = 3: h = 3 + 3 * ln 3 * 1/3.
    """
    values = {"heads.weight": [-2 * LN_3], "heads.bias": [LN_3], "rate": [-LN_3], "rest": [3]}

    assert by_hand("pure", 0.5, values) == pytest.approx(3 + LN_3)


@pytest.mark.parametrize("mode", ["default", "pure"])
def test_it_starts_as_published(mode: str) -> None:
    torch.manual_seed(0)
    cell = CfC(50, 40, mode=mode, backbone_units=100, backbone_layers=2)
    heads = cell.heads.weight.split(40)
    glorot = [(cell.backbone.weight, 190), (cell.deeper[0].weight, 200)]
    glorot += [(block, 140) for block in heads]

    assert len(heads) == (1 if mode == "pure" else 4)
    for weight, both in glorot:
        assert weight.abs().max() <= math.sqrt(6 / both)
        assert weight.std().item() == pytest.approx(math.sqrt(2 / both), rel=0.03)
    for layer, inputs in ((cell.backbone, 90), (cell.deeper[0], 100), (cell.heads, 100)):
        assert 0.9 * inputs**-0.5 < layer.bias.abs().max() <= inputs**-0.5
    if mode == "pure":
        assert not cell.rate.any()
        assert (cell.rest == 1).all()


def test_ncps_starts_what_should_be_0_and_1_as_a_matrix() -> None:
    """Why A and w differ: they are set to 1 and 0, and then drawn over."""
    torch.manual_seed(0)
    module = foreign("ncps.torch").CfCCell(3, 40, mode="pure")

    assert module.w_tau.std() > 0.1
    assert module.A.std() > 0.1


def test_its_defaults() -> None:
    cell = CfC(3, 4)

    assert (cell.elapsed, cell.mode, len(cell.deeper)) == (1.0, "default", 0)
    assert isinstance(cell.backbone, nn.Linear)
    assert cell.backbone.out_features == 128


@pytest.mark.parametrize(("mode", "heads", "vectors"), [("default", 4, 0), ("pure", 1, 2)])
def test_parameter_count(mode: str, heads: int, vectors: int) -> None:
    cell = CfC(7, 11, mode=mode, backbone_units=5, backbone_layers=3)

    assert parameter_count(cell) == (
        5 * (7 + 11) + 5 + 2 * (5 * 5 + 5) + heads * (11 * 5 + 11) + vectors * 11
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "gated"}, "mode must be one of default, no_gate, pure"),
        ({"backbone_units": 0}, "backbone_units must be a whole number of at least 1"),
        ({"backbone_layers": 0}, "backbone_layers must be a whole number of at least 1"),
        ({"elapsed": -1.0}, "elapsed must be a number of at least 0"),
    ],
    ids=str,
)
def test_a_bad_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        CfC(3, 4, **options)
