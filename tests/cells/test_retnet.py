import cmath
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

from cellbench.cells.retnet import RetNet, RetNetState, turn
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

X, H, HEADS, BATCH = 3, 8, 2, 4
KEY, VALUE = 4, 8


def by_formula(q, k, v, state, angles):
    """As complex numbers, of which a pair of features is one, and as a sum over all steps.

    Positions are absolute, as in the paper, and the state is that before position 1.
    """
    q, k = (torch.view_as_complex(part.unflatten(-1, (-1, 2)).contiguous()) for part in (q, k))
    s = torch.view_as_complex(state.mT.unflatten(-1, (-1, 2)).contiguous())  # [.., value, pair]
    theta = torch.tensor(angles).double()
    time, outputs = q.shape[1], []
    gamma = 1 - torch.tensor([1 / 32, 1 / 64]).double().view(HEADS, 1)
    last = 0
    for n in range(1, time + 1):
        q_n = q[:, n - 1] * torch.exp(1j * n * theta)
        o = torch.einsum("bhvp,bhp->bhv", s.conj(), q_n) * gamma**n
        for m in range(1, n + 1):
            k_m = k[:, m - 1] * torch.exp(1j * m * theta)
            score = (q_n * k_m.conj()).real.sum(-1, keepdim=True) * gamma ** (n - m)
            o = o + score * v[:, m - 1]
        outputs.append(o.real / math.sqrt(KEY))
    last = s * gamma.unsqueeze(-1) ** time
    for m in range(1, time + 1):
        k_m = k[:, m - 1] * torch.exp(1j * m * theta)
        written = torch.einsum("bhv,bhp->bhvp", v[:, m - 1].to(k_m.dtype), k_m)
        last = last + gamma.unsqueeze(-1) ** (time - m) * written
    last = torch.view_as_real(last * torch.exp(-1j * time * theta)).flatten(-2).mT
    return torch.stack(outputs, dim=1), last


def by_fla(q, k, v, state, angles):
    """Which starts from zeros and keeps its state: a prefix writes it, and a suffix reads it.

    The i-th of KEY steps before the first writes row i of the state under the i-th unit vector,
    enlarged by what it will have decayed; the i-th after the last reads row i, so enlarged.
    """
    assert angles is None
    naive = foreign("fla.ops.retention.naive").naive_retention
    gamma = 1 - torch.tensor([1 / 32, 1 / 64]).double().view(HEADS, 1, 1)
    unit = torch.eye(KEY).double().expand(BATCH, HEADS, KEY, KEY)
    steps = torch.arange(KEY).double().view(KEY, 1)
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    before, after = unit * gamma ** (steps - KEY + 1), unit * gamma ** (-1 - steps)
    nothing = torch.zeros(BATCH, HEADS, KEY, VALUE).double()
    o = naive(
        torch.cat([0 * unit, q, math.sqrt(KEY) * after], dim=2),
        torch.cat([before, k, 0 * unit], dim=2),
        torch.cat([state, v, nothing], dim=2),
    )
    return o[:, :, KEY:-KEY].transpose(1, 2), o[:, :, -KEY:]


def written_out(weights, x, state, core, angles):
    """Write the layer out again, around a `core` that takes [batch, time, heads, features]."""
    (s,) = state
    x = x.transpose(0, 1)
    q, k, v = (x @ weights[f"{name}.weight"].t() for name in ("query", "key", "value"))
    o, s = core(*(part.unflatten(-1, (HEADS, -1)) for part in (q, k, v)), s, angles)
    o = o - o.mean(-1, keepdim=True)
    o = o / (o.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    gate = x @ weights["gate.weight"].t()
    y = (o.flatten(-2) * gate / (1 + torch.exp(-gate))) @ weights["output.weight"].t()
    return y.transpose(0, 1), (s,)


def make(**options) -> tuple[RetNet, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = RetNet(X, H, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.mul_(3)
    cell.log_decay = torch.tensor([31 / 32, 63 / 64]).double().log().view(2, 1)
    cell.angle = torch.tensor([1, 0.01]).double()
    return cell, dict(cell.named_parameters()), [draw(BATCH, HEADS, KEY, VALUE, seed=1)]


each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


@each_form
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_flash_linear_attention(*, time: int, parallel: bool) -> None:
    """In single precision, as that computes; it turns nothing."""
    cell, weights, state = make(rotary=False)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_fla, None),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="retnet",
        against="fla-core: retention.naive",
        tolerance=1e-5,
    )


@each_form
@pytest.mark.parametrize("rotary", [True, False])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(*, time: int, rotary: bool, parallel: bool) -> None:
    cell, weights, state = make(rotary=rotary)
    angles = [1, 0.01] if rotary else [0, 0]

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, by_formula, angles),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="retnet",
        against=FORMULAS,
    )


@each_form
def test_one_step_by_hand(*, parallel: bool) -> None:
    """One head, keys and values of two features; x = 1, and S turns by -90 degrees.

    Rows (1, 2) and (3, 4) of S become (3, 4) and (-1, -2), and 31/32 of that, with k = (0, 1)
    and v = (1, 2) added: 31/32 (3, 4) and 1/32 (1, 2). Read by q = (1, 31): 31/32 (3 + 1, 4 + 2),
    normalised (-1, 1). Gates silu(ln 3, -ln 3) and outputs that sum:

        (-3/4 - 1/4, -1/4) ln 3 = (-1, -1/4) ln 3.
    """
    cell = RetNet(1, 2, heads=1, expand=1).double()
    cell.ln_eps = 0.0
    cell.angle.fill_(math.pi / 2)
    cell.log_decay.fill_(math.log(31 / 32))
    for name, value in {
        "query.weight": [1, 31],
        "key.weight": [0, 1],
        "value.weight": [1, 2],
        "gate.weight": [LN_3, -LN_3],
        "output.weight": [1, 1, 0, 1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().reshape(parameter.shape)
    start = RetNetState(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double().view(1, 1, 2, 2))
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, torch.ones(1, 1, 1).double(), start)

    torch.testing.assert_close(y.flatten(), LN_3 * torch.tensor([-1, -1 / 4]).double())
    expected = torch.tensor([[93, 124], [1, 2]]).double() / 32
    torch.testing.assert_close(last.s[0, 0], expected)


def test_rates_and_angles_are_published() -> None:
    cell = RetNet(3, 24, heads=4)  # six features in each key

    rates = torch.tensor([[31 / 32], [63 / 64], [127 / 128], [255 / 256]])
    torch.testing.assert_close(cell.log_decay.exp(), rates)
    torch.testing.assert_close(cell.angle, torch.tensor([1, 10000 ** (-1 / 3), 10000 ** (-2 / 3)]))


def test_a_turn_is_a_product_of_complex_numbers_and_leaves_an_odd_feature() -> None:
    first, second = complex(1, 2) * cmath.exp(0.3j), complex(3, 4) * cmath.exp(-2j)

    turned = turn(torch.tensor([1.0, 2, 3, 4, 5]), torch.tensor([0.3, -2]))

    expected = torch.tensor([first.real, first.imag, second.real, second.imag, 5])
    torch.testing.assert_close(turned, expected)


@each_form
def test_an_odd_number_of_features_runs(*, parallel: bool) -> None:
    cell = RetNet(3, 6).double()
    x = draw(5, BATCH, X)
    y, _ = stepwise(cell, cell.project(x), cell.initial_state(BATCH))

    torch.testing.assert_close(unroll(cell, x)[0] if parallel else y, y)


def test_parameter_count() -> None:
    """q, k; v, the gate; the output."""
    assert parameter_count(RetNet(7, 12, heads=3, expand=3)) == 168 + 504 + 432


def test_it_starts_as_in_its_authors_code() -> None:
    """Glorot and Bengio's uniform distribution, 2^-2.5 of it but for the output."""
    torch.manual_seed(0)
    cell = RetNet(64, 128)
    for layer in (cell.query, cell.key, cell.value, cell.gate, cell.output):
        gain = 1 if layer is cell.output else 2**-2.5
        bound = gain * math.sqrt(6 / (layer.in_features + layer.out_features))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 3}, "heads must divide hidden_size: 8 is no multiple of 3"),
        ({"expand": 0}, "expand must be a whole number of at least 1"),
        ({"ln_eps": 0.0}, "ln_eps must be a number of at least 1e-12"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        RetNet(X, H, **options)
