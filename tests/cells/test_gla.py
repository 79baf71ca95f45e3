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

from cellbench.cells.gla import GLA, GLAState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

X, H, HEADS, BATCH = 3, 8, 2, 4
KEY, VALUE = 2, 4


def by_formula(q, k, v, log_decay, state):
    """Explicit matrices, one sequence, head and step at a time; S is [value, key] here."""
    outputs, last = torch.empty_like(v), torch.empty_like(state)
    for row in range(BATCH):
        for head in range(HEADS):
            s = state[row, head].t()
            for t in range(q.shape[1]):
                q_t, k_t, v_t, g_t = (part[row, t, head] for part in (q, k, v, log_decay))
                s = s @ torch.diag(torch.exp(g_t)) + torch.outer(v_t, k_t)
                outputs[row, t, head] = s @ q_t / math.sqrt(KEY)
            last[row, head] = s.t()
    return outputs, last


def by_fla(q, k, v, log_decay, state):
    naive = foreign("fla.ops.gla.naive").naive_recurrent_gla
    o, last = naive(q, k, v, log_decay, initial_state=state, output_final_state=True)
    return o, last.double()


def written_out(weights, x, state, core, temperature=16.0):
    """Write the layer out again, around a `core` that takes [batch, time, heads, features]."""
    (s,) = state
    x = x.transpose(0, 1)
    low = (x @ weights["alpha_1.weight"].t()) @ weights["alpha_2.weight"].t()
    alpha = (1 / (1 + torch.exp(-low - weights["alpha_2.bias"]))) ** (1 / temperature)
    q, k, v = (x @ weights[f"{name}.weight"].t() for name in ("query", "key", "value"))
    parts = [part.unflatten(-1, (HEADS, -1)) for part in (q, k, v, torch.log(alpha))]
    o, s = core(*parts, s)
    o = o / (o.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weights["norm.weight"]
    gate = x @ weights["gate.weight"].t() + weights["gate.bias"]
    y = (o.flatten(-2) * gate / (1 + torch.exp(-gate))) @ weights["output.weight"].t()
    return y.transpose(0, 1), (s,)


def make(**options) -> tuple[GLA, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = GLA(X, H, rank=5, **options).double()
    torch.nn.init.normal_(cell.norm.weight)
    return cell, dict(cell.named_parameters()), [draw(BATCH, HEADS, KEY, VALUE, seed=1)]


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
        cell="gla",
        against="fla-core: gla.naive",
        tolerance=1e-5,
    )


@each_form
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0}], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(*, time: int, options: dict, parallel: bool) -> None:
    cell, weights, state = make(**options)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_formula, **options),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="gla",
        against=FORMULAS,
    )


@each_form
def test_one_step_by_hand(*, parallel: bool) -> None:
    """One head, keys of one feature, values of two; x = 1, q = -2, k = 3, v = (1, 2).

    W_2 W_1 x + b = 2 * (ln 3)/2 + ln(1/3) - ln 3 = -ln 3; its sigmoid is 1/4, and with a
    temperature of 2 alpha = 1/2. S = 1/2 (8, -4) + 3 (1, 2) = (7, 4). Read: (-14, -8), whose
    root mean square is sqrt(130). Gains 1 and 2, gates silu(ln 3, -ln 3), outputs that sum:

        (-14 * 3/4 + 16 * 1/4, 16 * 1/4) ln 3 / sqrt(130) = (-6.5, 4) ln 3 / sqrt(130).
    """
    cell = GLA(1, 2, heads=1, rank=1, temperature=2.0).double()
    cell.norm.eps = 0.0
    for name, value in {
        "query.weight": [-2],
        "key.weight": [3],
        "value.weight": [1, 2],
        "alpha_1.weight": [2],
        "alpha_2.weight": [LN_3 / 2],
        "alpha_2.bias": [-2 * LN_3],
        "gate.weight": [2 * LN_3, LN_3],
        "gate.bias": [-LN_3, -2 * LN_3],
        "norm.weight": [1, 2],
        "output.weight": [1, 1, 0, 1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().reshape(parameter.shape)
    start = GLAState(torch.tensor([8.0, -4.0]).double().view(1, 1, 1, 2))
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, torch.ones(1, 1, 1).double(), start)

    expected = LN_3 * torch.tensor([-6.5, 4]).double() / math.sqrt(130)
    torch.testing.assert_close(y.flatten(), expected)
    torch.testing.assert_close(last.s.flatten(), torch.tensor([7.0, 4.0]).double())


def test_without_decay_it_is_linear_attention() -> None:
    """alpha = 1: S is the sum of all that was written."""
    cell, _, (s,) = make()
    torch.nn.init.zeros_(cell.alpha_2.weight)
    torch.nn.init.constant_(cell.alpha_2.bias, 1e3)
    x = draw(50, BATCH, X)
    k, v = (part(x).unflatten(-1, (HEADS, -1)) for part in (cell.key, cell.value))

    _, last = unroll(cell, x, GLAState(s))

    torch.testing.assert_close(last.s, s + torch.einsum("tbhk,tbhv->bhkv", k, v))


def test_a_key_has_half_of_the_features_and_at_least_one() -> None:
    sizes = {(4, 2): 1, (6, 2): 1, (12, 2): 3, (64, 2): 16, (5, 5): 1}

    assert {size: GLA(3, size[0], heads=size[1]).key_size for size in sizes} == sizes


def test_parameter_count() -> None:
    """q, k; v; W_1; W_2 and b; the gate; gains of a head; the output."""
    cell = GLA(7, 12, heads=3, rank=5)

    assert parameter_count(cell) == 2 * 42 + 84 + 35 + 36 + 96 + 4 + 144


def test_it_starts_near_remembering_all() -> None:
    """The temperature of 16 makes a gate of 1/2 a decay of 2^(-1/16), about 0.958."""
    torch.manual_seed(0)
    cell = GLA(64, 128)
    alpha = cell.project(torch.zeros(1, 1, 64)).log_decay.exp()

    assert cell.alpha_2.in_features == 16
    assert alpha.mean().item() == pytest.approx(2 ** (-1 / 16), abs=1e-3)
    for layer in (cell.query, cell.key, cell.value, cell.gate, cell.output):
        bound = layer.in_features**-0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert (cell.norm.weight == 1).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 3}, "heads must divide hidden_size: 8 is no multiple of 3"),
        ({"rank": 0}, "rank must be a whole number of at least 1"),
        ({"temperature": 0.5}, "temperature must be a number of at least 1"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        GLA(X, H, **options)
