import math

import pytest
import torch
from cell_parity import (
    FORMULAS,
    LN_3,
    assert_same,
    draw,
    foreign,
    parameter_count,
    with_weights,
)
from torch.nn import functional

from cellbench.cells.deltanet import DeltaNet, DeltaNetState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

X, H, HEADS, BATCH = 3, 6, 2, 4
D = H // HEADS


def by_formula(q, k, v, beta, state):
    """Explicit matrices, one sequence, head and step at a time; S is [value, key] here."""
    outputs, last = torch.empty_like(v), torch.empty_like(state)
    for row in range(q.shape[0]):
        for head in range(q.shape[1]):
            s = state[row, head].t()
            for t in range(q.shape[2]):
                q_t, k_t, v_t, beta_t = (part[row, head, t] for part in (q, k, v, beta))
                erase = torch.eye(len(k_t)).double() - beta_t * torch.outer(k_t, k_t)
                s = s @ erase + beta_t * torch.outer(v_t, k_t)
                outputs[row, head, t] = s @ q_t / math.sqrt(len(q_t))
            last[row, head] = s.t()
    return outputs, last


def by_fla(q, k, v, beta, state):
    naive = foreign("fla.ops.delta_rule.naive")
    o, last = naive.delta_rule_recurrence(q, k, v, beta, initial_state=state)
    return o, last.double()


def written_out(weights, x, state, core, *, feature="silu", largest=1.0):
    """Write the layer out again, around a `core` that takes [batch, heads, time, features]."""
    s, window = state
    phi = {"silu": functional.silu, "relu": torch.relu, "elu": lambda x: functional.elu(x) + 1}
    values = torch.cat([window.transpose(0, 1), x @ weights["qkv.weight"].t()])
    last_window = values[len(values) - window.shape[1] :].transpose(0, 1)
    if "conv.weight" in weights:
        kernel = weights["conv.weight"].t().unsqueeze(1)
        values = functional.conv1d(values.permute(1, 2, 0), kernel, groups=3 * H).permute(2, 0, 1)
    q, k, v = (part.unflatten(-1, (HEADS, D)).permute(1, 2, 0, 3) for part in values.chunk(3, -1))
    q, k = (
        phi[feature](part) / (phi[feature](part).pow(2).sum(-1, keepdim=True) + 1e-6).sqrt()
        for part in (q, k)
    )
    beta = largest / (1 + torch.exp(-(x @ weights["beta.weight"].t())))
    o, s = core(q, k, functional.silu(v), beta.permute(1, 2, 0), s)
    o = o / (o.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weights["norm.weight"]
    y = sum(
        o[:, head] @ weights["output.weight"][:, head * D : (head + 1) * D].t()
        for head in range(HEADS)
    )
    return y.transpose(0, 1), (s, last_window)


def make(**options) -> tuple[DeltaNet, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = DeltaNet(X, H, **options).double()
    torch.nn.init.normal_(cell.norm.weight)
    state = [
        draw(BATCH, HEADS, D, D, seed=1),
        draw(*cell.initial_state(BATCH).window.shape, seed=2),
    ]
    return cell, dict(cell.named_parameters()), state


each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


@each_form
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_flash_linear_attention(*, time: int, parallel: bool) -> None:
    """In single precision, as that computes."""
    cell, weights, state = make()

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_fla),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="deltanet",
        against="fla-core: delta_rule.naive",
        tolerance=1e-5,
    )


@each_form
@pytest.mark.parametrize("options", [{}, {"conv": 0}, {"conv": 1, "feature": "relu"}], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(*, time: int, options: dict, parallel: bool) -> None:
    cell, weights, state = make(**options)
    feature = options.get("feature", "silu")

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_formula, feature=feature),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="deltanet",
        against=FORMULAS,
    )


@each_form
def test_beta_can_reach_two(*, parallel: bool) -> None:
    cell, weights, state = make(beta="double", feature="elu")

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_formula, feature="elu", largest=2.0),
        draw(7, BATCH, X),
        state,
        weights.values(),
        cell="deltanet",
        against=FORMULAS,
    )


@each_form
def test_one_step_by_hand(*, parallel: bool) -> None:
    """One head of two features; x = 1. The convolution adds twice the new to half the old:

        q, k, v (ln 3) = 2 (1, -1/2; 0, 1; 1, 0) + 1/2 (-2, 0; 2, -2; -2, -2)
                       = (1, -1; 1, 1; 1, -1)

    silu(ln 3) = 3/4 ln 3 and silu(-ln 3) = -1/4 ln 3, so q = (3, -1) / sqrt(10),
    k = (1, 1) / sqrt(2), v = (3/4, -1/4) ln 3. S = sqrt(2) ln 3 / 8, times the identity, holds
    (1/8, 1/8) ln 3 under k: (5/8, -3/8) ln 3 is missing, 3/4 of which is written:

        S = ln 3 / (32 sqrt(2)) (8 + 15, -9; 15, 8 - 9)

    read by q: proportional to (3 * 23 - 15, -3 * 9 + 1) = 2 (27, -13), whose root mean square
    is 2 sqrt(449). Gains 2 and 3, and outputs that sum: (54 - 39, -39) / sqrt(449).
    """
    cell = DeltaNet(1, 2, heads=1, conv=2).double()
    cell.norm.eps = 0.0
    for name, value in {
        "qkv.weight": [1, -1 / 2, 0, 1, 1, 0],
        "beta.weight": [LN_3],
        "conv.weight": [[1 / 2] * 6, [2] * 6],
        "norm.weight": [2, 3],
        "output.weight": [1, 1, 0, 1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().reshape(parameter.shape)
    cell.qkv.weight.data *= LN_3
    window = LN_3 * torch.tensor([[[-2, 0, 2, -2, -2, -2]]]).double()
    s = math.sqrt(2) * LN_3 / 8 * torch.eye(2).double().view(1, 1, 2, 2)
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, torch.ones(1, 1, 1).double(), DeltaNetState(s, window))

    close = {"rtol": 1e-5, "atol": 1e-6}  # unit(k) is of length 1 - 1e-6 or so
    expected = torch.tensor([15, -39]).double() / math.sqrt(449)
    torch.testing.assert_close(y.flatten(), expected, **close)
    expected = LN_3 / (32 * math.sqrt(2)) * torch.tensor([[23, -9], [15, -1]]).double()
    torch.testing.assert_close(last.s[0, 0], expected, **close)
    torch.testing.assert_close(last.window.flatten(), cell.qkv.weight.flatten())


def test_double_counts_modulo_two_and_unit_cannot() -> None:
    """The eigenvalue 1 - beta of I - beta k k^T: a step with beta near 2 turns S around."""
    signs = {}
    for beta in ("unit", "double"):
        cell, _, _ = make(beta=beta, conv=0)
        with torch.no_grad():
            cell.qkv.weight[2 * H :] = 0  # v = 0: only what is there changes
            cell.beta.weight.fill_(100.0)
        x = torch.ones(3, 1, X).double()
        k = functional.silu(cell.qkv(x[0, 0])[H : 2 * H]).view(HEADS, D)
        k = functional.normalize(k, dim=-1)
        s, steps = k.view(1, HEADS, D, 1).repeat(1, 1, 1, D), []
        for p_t in zip(*cell.project(x), strict=True):
            _, (s, _) = cell.step(
                type(cell.project(x))(*p_t), DeltaNetState(s, cell.initial_state(1)[1])
            )
            steps.append((s[0, 0, :, 0] @ k[0]).item())
        signs[beta] = steps

    assert signs["unit"] == pytest.approx([0, 0, 0], abs=1e-4)
    assert signs["double"] == pytest.approx([-1, 1, -1], abs=1e-4)


def test_parameter_count() -> None:
    """q, k, v; beta; the convolution; the gains of a head; the output."""
    x, h = 7, 12

    assert parameter_count(DeltaNet(x, h, heads=3, conv=5)) == 252 + 21 + 180 + 4 + 144
    assert parameter_count(DeltaNet(x, h, heads=3, conv=0)) == 252 + 21 + 4 + 144


def test_it_starts_as_said() -> None:
    """Uniform, up to one over the root of the fan-in; gains of 1."""
    torch.manual_seed(0)
    cell = DeltaNet(64, 128)
    for weight, fan_in in ((cell.qkv.weight, 64), (cell.output.weight, 128), (cell.conv.weight, 4)):
        bound = fan_in**-0.5
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert (cell.norm.weight == 1).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 4}, "heads must divide hidden_size: 6 is no multiple of 4"),
        ({"conv": -1}, "conv must be a whole number of at least 0"),
        ({"feature": "gelu"}, "feature must be one of silu, relu, elu"),
        ({"beta": "triple"}, "beta must be one of unit, double"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        DeltaNet(X, H, **options)
