import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.hgrn2 import HGRN2, HGRN2State
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

X, H, HEADS, BATCH = 3, 6, 2, 4
D = H // HEADS


def by_formula(o, c, forget, state):
    """Explicit matrices, one sequence, head and step at a time; S is [value, key] here."""
    outputs, last = torch.empty_like(c), torch.empty_like(state)
    for row in range(BATCH):
        for head in range(HEADS):
            s = state[row, head].t()
            for t in range(c.shape[1]):
                o_t, c_t, f_t = (part[row, t, head] for part in (o, c, forget))
                s = s @ torch.diag(f_t) + torch.outer(c_t, 1 - f_t)
                outputs[row, t, head] = s @ o_t
            last[row, head] = s.t()
    return outputs, last


def by_fla(o, c, forget, state):
    """As gated linear attention, which divides what it reads by the root of the features."""
    naive = foreign("fla.ops.gla.naive").naive_recurrent_gla
    read, last = naive(
        math.sqrt(D) * o, 1 - forget, c, forget.log(), state, output_final_state=True
    )
    return read, last.double()


def written_out(weights, x, state, core, *, lower_bound=0.0, query="sigmoid"):
    """Write the layer out again, around a `core` that takes [batch, time, heads, features]."""
    w = weights
    (s,) = state
    x = x.transpose(0, 1)
    o, c, forget = (
        x @ w[f"{name}.weight"].t() + w[f"{name}.bias"] for name in ("query", "candidate", "forget")
    )
    o = (o if query == "silu" else 1) / (1 + torch.exp(-o))
    forget = lower_bound + (1 - lower_bound) / (1 + torch.exp(-forget))
    parts = (o, c / (1 + torch.exp(-c)), forget)
    read, s = core(*(part.unflatten(-1, (HEADS, D)) for part in parts), s)
    read = read.flatten(-2)
    read = read - read.mean(-1, keepdim=True)
    read = read / (read.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    read = read * w["norm.weight"] + w["norm.bias"]
    return (read @ w["output.weight"].t() + w["output.bias"]).transpose(0, 1), (s,)


def make(**options) -> tuple[HGRN2, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = HGRN2(X, H, **options).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return cell, dict(cell.named_parameters()), [draw(BATCH, HEADS, D, D, seed=1)]


each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


@each_form
@pytest.mark.parametrize(
    ("core", "against", "tolerance"),
    [
        (by_fla, "fla-core: gla.naive", 1e-5),  # in single precision, as that computes
        (by_formula, FORMULAS, 1e-10),
    ],
    ids=["fla", "formula"],
)
@pytest.mark.parametrize("options", [{}, {"lower_bound": 0.5, "query": "silu"}], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of(
    *, time: int, options: dict, core, against: str, tolerance: float, parallel: bool
) -> None:
    cell, weights, state = make(**options)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, core, **options),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="hgrn2",
        against=against,
        tolerance=tolerance,
    )


@each_form
def test_one_step_by_hand(*, parallel: bool) -> None:
    """One head of two features, x = 1; the lower bound is 1/3.

    c = silu(ln 3, -ln 3) = (3/4, -1/4) ln 3. sigmoid(ln 3, -ln 3) = (3/4, 1/4), so
    f = 1/3 + 2/3 (3/4, 1/4) = (5/6, 1/2). o = (1/4, 3/4).

    S = (6, 0; 0, 4) ln 3 becomes (5, 0; 0, 2) ln 3 + (1/6; 1/2) (3/4, -1/4) ln 3
    = (41/8, -1/24; 3/8, 15/8) ln 3. Read: (41/32 + 9/32, -1/96 + 45/32) ln 3 =
    (150/96, 134/96) ln 3, normalised (1, -1), gains 2 and 3, shift 1: (3, -2).
    Weights (1, 1; 0, 1) and biases (1, 2): (2, 0).
    """
    cell = HGRN2(1, 2, heads=1, lower_bound=1 / 3).double()
    cell.norm.eps = 0.0
    for name, value in {
        "candidate.weight": [2 * LN_3, LN_3],
        "candidate.bias": [-LN_3, -2 * LN_3],
        "forget.weight": [3 * LN_3, 0],
        "forget.bias": [-2 * LN_3, -LN_3],
        "query.weight": [LN_3, LN_3],
        "query.bias": [-2 * LN_3, 0],
        "norm.weight": [2, 3],
        "norm.bias": [1, 1],
        "output.weight": [1, 1, 0, 1],
        "output.bias": [1, 2],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().reshape(parameter.shape)
    start = HGRN2State(LN_3 * torch.tensor([[6.0, 0.0], [0.0, 4.0]]).double().view(1, 1, 2, 2))
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, torch.ones(1, 1, 1).double(), start)

    torch.testing.assert_close(y.flatten(), torch.tensor([2.0, 0.0]).double())
    expected = LN_3 * torch.tensor([[41 / 8, -1 / 24], [3 / 8, 15 / 8]]).double()
    torch.testing.assert_close(last.s[0, 0], expected)


def test_a_column_is_an_average_of_what_was_written() -> None:
    """What is written weighs what is forgotten: constant inputs are approached, not exceeded."""
    cell, _, _ = make()
    x = draw(1, BATCH, X).expand(500, -1, -1)

    _, last = unroll(cell, x)

    c = cell.project(x[:1]).c[0].unsqueeze(-2)
    torch.testing.assert_close(last.s, c.expand_as(last.s), rtol=1e-6, atol=1e-6)


def test_a_gate_that_is_shut_has_a_finite_logarithm_and_gradient() -> None:
    cell, _, (s,) = make()
    torch.nn.init.constant_(cell.forget.bias, -1000.0)

    y, last = unroll(cell, draw(7, BATCH, X), HGRN2State(s))
    gradients = torch.autograd.grad(y.sum() + last.s.sum(), list(cell.parameters()))

    assert all(gradient.isfinite().all() for gradient in gradients)


def test_parameter_count() -> None:
    """c, f and o; the norm; the output."""
    assert parameter_count(HGRN2(7, 12, heads=3)) == 3 * (84 + 12) + 24 + 144 + 12


def test_it_starts_as_said() -> None:
    torch.manual_seed(0)
    cell = HGRN2(64, 128)
    for layer in (cell.candidate, cell.forget, cell.query, cell.output):
        bound = layer.in_features**-0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 4}, "heads must divide hidden_size: 6 is no multiple of 4"),
        ({"lower_bound": 1.0}, "lower_bound must be a number of at least 0 and below 1"),
        ({"query": "tanh"}, "query must be one of sigmoid, silu"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        HGRN2(X, H, **options)
