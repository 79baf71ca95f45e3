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

from cellbench.cells.gated_deltanet import GatedDeltaNet, GatedDeltaNetState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

X, H, HEADS, BATCH = 3, 6, 2, 4
KEY, VALUE = 3, 6


def by_formula(*given):
    """Explicit matrices, one sequence, head and step at a time; S is [value, key] here."""
    q, k, v, beta, log_decay, state = given
    outputs, last = torch.empty_like(v), torch.empty_like(state)
    for row in range(BATCH):
        for head in range(HEADS):
            s = state[row, head].t()
            for t in range(q.shape[1]):
                q_t, k_t, v_t = (part[row, t, head] for part in (q, k, v))
                beta_t, alpha_t = beta[row, t, head], torch.exp(log_decay[row, t, head])
                erase = torch.eye(KEY).double() - beta_t * torch.outer(k_t, k_t)
                s = alpha_t * s @ erase + beta_t * torch.outer(v_t, k_t)
                outputs[row, t, head] = s @ q_t / math.sqrt(KEY)
            last[row, head] = s.t()
    return outputs, last


def by_fla(*given):
    *given, state = given
    naive = foreign("fla.ops.gated_delta_rule.naive").naive_recurrent_gated_delta_rule
    o, last = naive(*given, initial_state=state, output_final_state=True)
    return o.double(), last.double()


def written_out(weights, x, state, core, largest=1.0):
    """Write the layer out again, around a `core` that takes [batch, time, heads, features]."""
    s, window = state
    values = torch.cat([window, (x @ weights["qkv.weight"].t()).transpose(0, 1)], dim=1)
    last_window = values[:, values.shape[1] - window.shape[1] :]
    if "conv.weight" in weights:
        kernel = weights["conv.weight"].t().unsqueeze(1)
        values = functional.conv1d(values.mT, kernel, groups=len(kernel)).mT
    values = values / (1 + torch.exp(-values))
    q, k = (values[..., n * H : (n + 1) * H].unflatten(-1, (HEADS, KEY)) for n in (0, 1))
    q, k = (part / (part.pow(2).sum(-1, keepdim=True) + 1e-6).sqrt() for part in (q, k))
    v = values[..., 2 * H :].unflatten(-1, (HEADS, VALUE))
    x = x.transpose(0, 1)
    beta = largest / (1 + torch.exp(-(x @ weights["beta.weight"].t())))
    wait = torch.log(1 + torch.exp(x @ weights["alpha.weight"].t() + weights["alpha_bias"]))
    o, s = core(q, k, v, beta, -torch.exp(weights["alpha_rate"]) * wait, s)
    o = o / (o.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weights["norm.weight"]
    gate = x @ weights["gate.weight"].t()
    y = (o.flatten(-2) * gate / (1 + torch.exp(-gate))) @ weights["output.weight"].t()
    return y.transpose(0, 1), (s, last_window)


def make(**options) -> tuple[GatedDeltaNet, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = GatedDeltaNet(X, H, **options).double()
    for parameter in (cell.norm.weight, cell.alpha_rate, cell.alpha_bias):
        torch.nn.init.normal_(parameter)
    shape = cell.initial_state(BATCH).window.shape
    state = [draw(BATCH, HEADS, KEY, VALUE, seed=1), draw(*shape, seed=2)]
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
        cell="gated_deltanet",
        against="fla-core: gated_delta_rule.naive",
        tolerance=1e-5,
    )


@each_form
@pytest.mark.parametrize("options", [{}, {"conv": 0, "beta": "double"}], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(*, time: int, options: dict, parallel: bool) -> None:
    cell, weights, state = make(**options)
    largest = 2.0 if options else 1.0

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_formula, largest),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="gated_deltanet",
        against=FORMULAS,
    )


@each_form
def test_one_step_by_hand(*, parallel: bool) -> None:
    """One head, keys and values of two features; x = 1, the convolution doubles. In ln 3:

    q = (1, -1), k = (1, 1), v = (1, -1), so with silu(ln 3) = 3/4 and silu(-ln 3) = -1/4
    q = (3, -1) / sqrt(10), k = (1, 1) / sqrt(2), v = (3/4, -1/4) ln 3. beta = 3/4.
    exp(A) = 2 and softplus(ln 3 - ln 3 + ln 2) = ln 3, so alpha = 1/9.

    S = 9 sqrt(2) ln 3 / 8, times the identity, decays to sqrt(2) ln 3 / 8, which holds
    (1/8, 1/8) ln 3 under k: (5/8, -3/8) ln 3 is missing, 3/4 of which is written:

        S = ln 3 / (32 sqrt(2)) (8 + 15, -9; 15, 8 - 9)

    read by q: proportional to (3 * 23 - 15, -3 * 9 + 1) = 2 (27, -13), whose root mean square
    is 2 sqrt(449). Gains 2 and 4, gates silu(ln 3, -ln 3), outputs that sum:

        (54 * 3/4 + 52 * 1/4, 52 * 1/4) ln 3 / sqrt(449) = (53.5, 13) ln 3 / sqrt(449).
    """
    cell = GatedDeltaNet(1, 2, heads=1, expand=1, conv=1).double()
    cell.norm.eps = 0.0
    for name, value in {
        "qkv.weight": [1 / 2, -1 / 2, 1 / 2, 1 / 2, 1 / 2, -1 / 2],
        "beta.weight": [1],
        "alpha.weight": [1],
        "alpha_rate": [math.log(2) / LN_3],
        "alpha_bias": [math.log(2) / LN_3 - 1],
        "gate.weight": [1, -1],
        "conv.weight": [2 / LN_3] * 6,
        "norm.weight": [2 / LN_3, 4 / LN_3],
        "output.weight": [1 / LN_3, 1 / LN_3, 0, 1 / LN_3],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = LN_3 * torch.tensor(value).double().reshape(parameter.shape)
    s = 9 * math.sqrt(2) * LN_3 / 8 * torch.eye(2).double().view(1, 1, 2, 2)
    start = GatedDeltaNetState(s, cell.initial_state(1).window)
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, torch.ones(1, 1, 1).double(), start)

    close = {"rtol": 1e-5, "atol": 1e-6}  # unit(k) is of length 1 - 1e-6 or so
    expected = LN_3 * torch.tensor([53.5, 13]).double() / math.sqrt(449)
    torch.testing.assert_close(y.flatten(), expected, **close)
    expected = LN_3 / (32 * math.sqrt(2)) * torch.tensor([[23, -9], [15, -1]]).double()
    torch.testing.assert_close(last.s[0, 0], expected, **close)


def test_a_strong_decay_clears_all_and_none_makes_it_a_delta_rule() -> None:
    cell, _, (s, window) = make()
    x = draw(9, BATCH, X)
    torch.nn.init.zeros_(cell.alpha.weight)
    torch.nn.init.zeros_(cell.alpha_rate)

    def last(bias: float, scale: float) -> torch.Tensor:
        torch.nn.init.constant_(cell.alpha_bias, bias)
        return unroll(cell, x, GatedDeltaNetState(scale * s, window))[1].s

    torch.testing.assert_close(last(1e3, 1.0), last(1e3, 0.0))
    assert (last(-1e3, 1.0) - last(-1e3, 0.0)).abs().max() > 1e-2
    torch.testing.assert_close(last(-1e3, 1.0), last(-700.0, 1.0))


def test_parameter_count() -> None:
    """q, k, v and their convolution; beta and alpha; A and b; gate; gains of a head; output."""
    x, h = 7, 12

    cell = GatedDeltaNet(x, h, heads=3, expand=2, conv=5)

    assert parameter_count(cell) == 48 * (7 + 5) + 42 + 6 + 168 + 8 + 288


def test_it_starts_as_published() -> None:
    """exp(A) uniform up to 16; softplus(b) log-uniform from 0.001 to 0.1."""
    torch.manual_seed(0)
    cell = GatedDeltaNet(4, 4096, heads=2048, expand=1)
    rate, wait = cell.alpha_rate.exp(), functional.softplus(cell.alpha_bias.double())

    assert rate.max().item() == pytest.approx(16, rel=0.01)
    assert rate.mean().item() == pytest.approx(8, rel=0.05)
    assert wait.min().item() == pytest.approx(0.001, rel=0.05)
    assert wait.max().item() == pytest.approx(0.1, rel=0.05)
    assert wait.log().mean().item() == pytest.approx(math.log(0.01), rel=0.02)
    assert (cell.norm.weight == 1).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 4}, "heads must divide hidden_size: 6 is no multiple of 4"),
        ({"expand": 0}, "expand must be a whole number of at least 1"),
        ({"conv": -1}, "conv must be a whole number of at least 0"),
        ({"beta": "triple"}, "beta must be one of unit, double"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        GatedDeltaNet(X, H, **options)
