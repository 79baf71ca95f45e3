import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.hgrn import HGRN, HGRNState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

X, H, BATCH = 3, 5, 4


def by_formula(c, forget, theta, h):
    """One step after the other, in complex numbers."""
    hs = []
    for c_t, f_t in zip(c, forget, strict=True):
        h = f_t * torch.exp(1j * theta) * h + (1 - f_t) * c_t
        hs.append(h)
    return torch.stack(hs)


def by_fla(c, forget, theta, h):
    """Of real numbers: the input is to be weighed, and the logarithm of the gate to be taken."""
    assert theta is None
    naive = foreign("fla.ops.hgrn.naive").naive_recurrent_hgrn
    weighed, log_f = ((1 - forget) * c).transpose(0, 1), forget.log().transpose(0, 1)
    return naive(weighed, log_f, initial_state=h)[0].transpose(0, 1)


def written_out(weights, x, state, core, lower_bound=0.0):
    """Write the layer out again, around a `core` that returns every h."""
    w = weights
    (h,) = state
    forget = 1 / (1 + torch.exp(-(x @ w["forget.weight"].t() + w["forget.bias"])))
    forget = lower_bound + (1 - lower_bound) * forget
    c = x @ w["candidate.weight"].t() + w["candidate.bias"]
    c = c / (1 + torch.exp(-c))
    if "theta" in w:
        c = c[..., :H] + 1j * c[..., H:]
        hs = core(c, forget, w["theta"], h[:, 0] + 1j * h[:, 1])
        hs = torch.cat([hs.real, hs.imag], dim=-1)
    else:
        hs = core(c, forget, None if core is by_fla else torch.zeros(()), h[:, 0])
        hs = hs.real
    gate = 1 / (1 + torch.exp(-(x @ w["gate.weight"].t() + w["gate.bias"])))
    o = gate * hs
    o = o - o.mean(-1, keepdim=True)
    o = o / (o.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * w["norm.weight"] + w["norm.bias"]
    last = torch.stack(hs[-1].chunk(h.shape[1], dim=-1), dim=1).double()
    return o @ w["output.weight"].t() + w["output.bias"], (last,)


def make(**options) -> tuple[HGRN, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = HGRN(X, H, **options).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return cell, dict(cell.named_parameters()), [draw(BATCH, cell.parts, H, seed=1)]


each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


@each_form
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_flash_linear_attention(*, time: int, parallel: bool) -> None:
    """In single precision, as that computes; it has no phase."""
    cell, weights, state = make(phase=False, lower_bound=0.25)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_fla, 0.25),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="hgrn",
        against="fla-core: hgrn.naive",
        tolerance=1e-5,
    )


@each_form
@pytest.mark.parametrize("options", [{}, {"phase": False, "lower_bound": 0.5}], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(*, time: int, options: dict, parallel: bool) -> None:
    cell, weights, state = make(**options)
    lower_bound = options.get("lower_bound", 0.0)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_formula, lower_bound),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="hgrn",
        against=FORMULAS,
    )


@each_form
def test_one_step_by_hand(*, parallel: bool) -> None:
    """x = 1 and a lower bound of 1/3: sigmoid(ln 3) = 3/4, so f = 1/3 + 2/3 * 3/4 = 5/6.

    theta = 90 degrees turns h = (6, 12) ln 3 to (-12, 6) ln 3. c = silu(ln 3, -ln 3)
    = (3/4, -1/4) ln 3, so h = (-10 + 1/8, 5 - 1/24) ln 3 = (-79/8, 119/24) ln 3.
    Gates 1/4 and 3/4: (-79/32, 119/32) ln 3, normalised (-1, 1), gains 2 and 3, shift 1:
    (-1, 4); weights (3, 2) and bias -1: 4.
    """
    cell = HGRN(1, 1, lower_bound=1 / 3).double()
    cell.norm.eps = 0.0
    for name, value in {
        "candidate.weight": [2 * LN_3, LN_3],
        "candidate.bias": [-LN_3, -2 * LN_3],
        "forget.weight": [3 * LN_3],
        "forget.bias": [-2 * LN_3],
        "gate.weight": [LN_3, LN_3],
        "gate.bias": [-2 * LN_3, 0],
        "theta": [math.pi / 2],
        "norm.weight": [2, 3],
        "norm.bias": [1, 1],
        "output.weight": [3, 2],
        "output.bias": [-1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().reshape(parameter.shape)
    start = HGRNState(LN_3 * torch.tensor([6.0, 12.0]).double().view(1, 2, 1))
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(4)
    expected = LN_3 * torch.tensor([-79 / 8, 119 / 24]).double()
    torch.testing.assert_close(last.h.flatten(), expected)


def test_no_gate_goes_below_its_bound() -> None:
    forget = make(lower_bound=0.9)[0].project(50 * draw(20, BATCH, X)).forget

    assert 0.9 <= forget.min() < 0.91
    assert 0.99 < forget.max() <= 1


def test_parameter_count() -> None:
    """c, f and g, complex and real; theta; the norm; the output."""
    assert parameter_count(HGRN(7, 12)) == 5 * (84 + 12) + 12 + 48 + 288 + 12
    assert parameter_count(HGRN(7, 12, phase=False)) == 3 * (84 + 12) + 24 + 144 + 12


def test_it_starts_as_said() -> None:
    torch.manual_seed(0)
    cell = HGRN(64, 128)

    angles = [10000 ** (-2 * n / 128) for n in range(128)]
    torch.testing.assert_close(cell.theta.data, torch.tensor(angles))
    for layer in (cell.candidate, cell.forget, cell.gate, cell.output):
        bound = layer.in_features**-0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("lower_bound", [-0.1, 1.0])
def test_an_option_it_cannot_take_is_named(lower_bound: float) -> None:
    with pytest.raises(OptionError, match="lower_bound must be a number of at least 0 and below 1"):
        HGRN(X, H, lower_bound=lower_bound)
