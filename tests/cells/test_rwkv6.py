import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.rwkv6 import RWKV6, RWKV6State
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

X, H, HEADS, RANK, BATCH = 3, 6, 2, 5, 4
D = H // HEADS


def by_formula(r, k, v, log_w, u, state):  # noqa: PLR0917 -- as the other project's
    """Explicit matrices, one sequence, head and step at a time; S is [value, key] here."""
    outputs, last = torch.empty_like(v), torch.empty_like(state)
    for row in range(BATCH):
        for head in range(HEADS):
            s = state[row, head].t()
            for t in range(r.shape[2]):
                r_t, k_t, v_t, g_t = (part[row, head, t] for part in (r, k, v, log_w))
                outputs[row, head, t] = (s + torch.outer(v_t, k_t) @ torch.diag(u[head])) @ r_t
                s = s @ torch.diag(torch.exp(g_t)) + torch.outer(v_t, k_t)
            last[row, head] = s.t()
    return outputs, last


def by_fla(*given):
    naive = foreign("fla.ops.rwkv6.recurrent_naive").naive_recurrent_rwkv6
    *given, state = given
    o, last = naive(*given, scale=1.0, initial_state=state, output_final_state=True)
    return o, last.double()


def written_out(weights, x, state, core):
    """Write the layer out again, with one set of matrices a mixture, around a `core`."""
    w = weights
    s, last = state
    x = x.transpose(0, 1)
    back = torch.cat([last.unsqueeze(1), x[:, :-1]], dim=1) - x
    seen = x + back * w["mix_x"]
    mixed = {}
    for i, n in enumerate("wkvrg"):
        low = torch.tanh(seen @ w["mix_1.weight"][i * RANK : (i + 1) * RANK].t())
        mixed[n] = x + back * (w["mix"][i] + low @ w["mix_2"][i])
    decay = torch.tanh(mixed["w"] @ w["w_1.weight"].t()) @ w["w_2.weight"].t() + w["w_2.bias"]
    names = {"r": "receptance", "k": "key", "v": "value", "g": "gate"}
    r, k, v, g = (mixed[n] @ w[f"{name}.weight"].t() for n, name in names.items())
    parts = [p.unflatten(-1, (HEADS, D)).transpose(1, 2) for p in (r, k, v, -torch.exp(decay))]
    o, s = core(*parts, w["u"], s)
    o = o.transpose(1, 2)
    o = o - o.mean(-1, keepdim=True)
    o = o / (o.pow(2).mean(-1, keepdim=True) + 64e-5).sqrt() * w["norm.gain"] + w["norm.shift"]
    y = (o.flatten(-2) * g / (1 + torch.exp(-g))) @ w["output.weight"].t()
    return y.transpose(0, 1), (s, x[:, -1])


def make() -> tuple[RWKV6, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = RWKV6(X, H, rank=RANK).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    state = [draw(BATCH, HEADS, D, D, seed=1), draw(BATCH, X, seed=2)]
    return cell, dict(cell.named_parameters()), state


each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


@each_form
@pytest.mark.parametrize(
    ("core", "against", "tolerance"),
    [
        # In single precision, as that computes.
        (by_fla, "fla-core: rwkv6.recurrent_naive", 1e-5),
        (by_formula, FORMULAS, 1e-10),
    ],
    ids=["fla", "formula"],
)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of(
    *, time: int, core, against: str, tolerance: float, parallel: bool
) -> None:
    cell, weights, state = make()

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, core),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="rwkv6",
        against=against,
        tolerance=tolerance,
    )


@each_form
def test_one_step_by_hand(*, parallel: bool) -> None:
    """One head of two features; x = 1 after 3. m = 1 + 1/2 * 2 = 2; mixtures of 1/2 + tanh = 1,

    with tanh = 1/2, for k and v, -1/2 for r, 0 for w and g: x_k = x_v = 3, x_r = 1, x_w = x_g = 2.

    r = (1, 0), k = (3, 6), v = (6, 3), g = (ln 3, -ln 3); w = (1/2, 1/3). S = (2, 4; 6, 9).
    u = 1/3: S + u k v^T = (2 + 6, 4 + 3; ...), read by r: (8, 7), normalised (1, -1).

    y, of outputs that sum: (3/4 + 1/4, 1/4) ln 3. S = (1 + 18, 2 + 9; 2 + 36, 3 + 18).
    """
    cell = RWKV6(1, 2, heads=1, rank=1).double()
    cell.norm.eps = 0.0
    half = LN_3 / 4  # of m = 2, and tanh(LN_3 / 2) = 1/2
    for name, value in {
        "mix_x": [1 / 2],
        "mix": [1 / 2] * 5,
        "mix_1.weight": [0, half, half, -half, 0],
        "mix_2": [1, 1, 1, 1, 1],
        "w_1.weight": [half, -half],
        "w_2.weight": [2, 0, 0, 2],
        "w_2.bias": [math.log(math.log(2)) - 1, math.log(math.log(3)) + 1],
        "key.weight": [1, 2],
        "value.weight": [2, 1],
        "receptance.weight": [1, 0],
        "gate.weight": [LN_3 / 2, -LN_3 / 2],
        "u": [1 / 3, 7],
        "norm.gain": [1, 1],
        "norm.shift": [0, 0],
        "output.weight": [1, 1, 0, 1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().reshape(parameter.shape)
    s = torch.tensor([[2.0, 4.0], [6.0, 9.0]]).double().view(1, 1, 2, 2)
    start = RWKV6State(s, torch.full((1, 1), 3.0).double())
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, torch.ones(1, 1, 1).double(), start)

    torch.testing.assert_close(y.flatten(), LN_3 * torch.tensor([1, 1 / 4]).double())
    torch.testing.assert_close(last.s[0, 0], torch.tensor([[19.0, 11.0], [38.0, 21.0]]).double())
    assert last.x.item() == 1


@each_form
def test_the_strongest_decay_clears_all_and_has_finite_gradients(*, parallel: bool) -> None:
    """exp(-exp(1000)) is 0; the derivative of exp(1000) is none."""
    cell, _, (s, x_0) = make()
    torch.nn.init.constant_(cell.w_2.bias, 1000.0)
    x = draw(40, BATCH, X)
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, x, RWKV6State(s.requires_grad_(), x_0))
    gradients = torch.autograd.grad((y.sum(), last.s.sum()), [s, *cell.parameters()])
    again = run(cell, x[-1:], RWKV6State(s, x[-2]))[1]

    torch.testing.assert_close(last.s, again.s)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_parameter_count() -> None:
    """Mixtures; A and B; w_1, w_2 and w_0; k, v, r, g; u; the norm; the output."""
    cell = RWKV6(7, 12, heads=3, rank=5)

    assert parameter_count(cell) == 42 + 350 + 190 + 12 + 336 + 12 + 24 + 144


def test_it_starts_as_a_first_layer_in_its_authors_code() -> None:
    torch.manual_seed(0)
    cell = RWKV6(64, 128, rank=32)
    torch.testing.assert_close(cell.mix_x[16].item(), 0.75)
    torch.testing.assert_close(cell.mix[:, 16].data, torch.tensor([0.75, 0.75, 0.75, 0.5, 0.5]))
    for weight in (cell.mix_1.weight, cell.mix_2, cell.w_1.weight, cell.w_2.weight):
        assert weight.abs().max() <= 1e-4
        assert weight.std().item() == pytest.approx(1e-4 / math.sqrt(3), rel=0.05)
    w_0 = [-6 + 5 * (n / 127) ** 0.7 for n in range(128)]
    torch.testing.assert_close(cell.w_2.bias.data, torch.tensor(w_0))
    torch.testing.assert_close(cell.u.flatten()[:4].data, torch.tensor([0.0, 0.1, -0.1, 0.0]))
    assert (cell.norm.gain == 1).all()
    assert not cell.norm.shift.any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 4}, "heads must divide hidden_size: 6 is no multiple of 4"),
        ({"rank": 0}, "rank must be a whole number of at least 1"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(options: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        RWKV6(X, H, **options)
