import math

import pytest
import torch
from cell_parity import FORMULAS, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.rwkv import RWKV, RWKVState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

X, H, HEADS, RANK, BATCH = 3, 6, 2, 5, 4
D = H // HEADS


def by_formula(*given):
    """The transition as an explicit matrix; S is [value, key], as in the paper."""
    *parts, state = given
    outputs, last = torch.empty_like(given[3]), torch.empty_like(state)
    for row in range(BATCH):
        for head in range(HEADS):
            s = state[row, head].t()
            for t in range(parts[0].shape[1]):
                r_t, w_t, k_t, v_t, kappa_t, a_t = (part[row, t, head] for part in parts)
                transition = torch.diag(w_t) - torch.outer(kappa_t, a_t * kappa_t)
                s = s @ transition + torch.outer(v_t, k_t)
                outputs[row, t, head] = s @ r_t
            last[row, head] = s.t()
    return outputs, last


def by_fla(*given):
    naive = foreign("fla.ops.generalized_delta_rule.dplr.naive").dplr_recurrence
    r, w, k, v, kappa, a = (part.transpose(1, 2) for part in given[:-1])
    o, last = naive(math.sqrt(D) * r, k, v, -kappa.float(), (a * kappa).float(), w.log(), given[-1])
    return o.transpose(1, 2), last.double()


def written_out(weights, x, state, core):
    """Write the layer out again, as its authors' code has it, around a `core`."""
    w = weights
    s, last = state
    x = x.transpose(0, 1)
    before = torch.cat([last.unsqueeze(1), x[:, :-1]], dim=1)
    seen = {n: x + (before - x) * w["mix"][i] for i, n in enumerate("rwkvag")}

    def low_rank(n, inner):
        low = inner(seen[n] @ w[f"{n}_1.weight"].t()) @ w[f"{n}_2.weight"].t()
        return low + w[f"{n}_2.bias"] if f"{n}_2.bias" in w else low

    def heads(part):
        return part.unflatten(-1, (HEADS, D))

    # w = exp(-exp(-softplus(-z) - 1/2)), as it is written there
    decay = torch.exp(-torch.exp(-torch.log(1 + torch.exp(-low_rank("w", torch.tanh))) - 0.5))
    a = 1 / (1 + torch.exp(-low_rank("a", lambda low: low)))
    gate = low_rank("g", lambda low: 1 / (1 + torch.exp(-low)))
    k = seen["k"] @ w["key.weight"].t()
    kappa = heads(k * w["k_k"])
    kappa = kappa / (kappa.pow(2).sum(-1, keepdim=True) + 1e-6).sqrt()
    k = heads(k * (1 + (a - 1) * w["k_a"]))
    r, v = (
        heads(seen[n] @ w[f"{name}.weight"].t())
        for n, name in (("r", "receptance"), ("v", "value"))
    )
    o, s = core(r, heads(decay), k, v, kappa, heads(a), s)
    o = o - o.mean(-1, keepdim=True)
    o = o / (o.pow(2).mean(-1, keepdim=True) + D * 1e-5).sqrt()
    o = o * w["norm.gain"] + w["norm.shift"] + (r * k * w["r_k"]).sum(-1, keepdim=True) * v
    y = (o.flatten(-2) * gate) @ w["output.weight"].t()
    return y.transpose(0, 1), (s, x[:, -1])


def make() -> tuple[RWKV, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = RWKV(X, H, rank=RANK).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return (
        cell,
        dict(cell.named_parameters()),
        [draw(BATCH, HEADS, D, D, seed=1), draw(BATCH, X, seed=2)],
    )


each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


@each_form
@pytest.mark.parametrize(
    ("core", "against", "tolerance"),
    [
        # In single precision, as that computes.
        (by_fla, "fla-core: generalized_delta_rule.dplr.naive", 1e-5),
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
        cell="rwkv",
        against=against,
        tolerance=tolerance,
    )


@each_form
def test_one_step_by_hand(*, parallel: bool) -> None:
    """One head of two features; x = 1 after 3. Mixtures of 1/2, so that all see 2; in ln 3:

    r = (1, 0), k' = (3, 4), v = (2, 1) of W x; a = sigmoid(0, ln 3) = (1/2, 3/4).
    w = exp(-exp(-1/2) sigmoid(z)) with z so that it is (2/3, 3/4).
    kappa = (3, -4) / 5, by k_k = (1, -1); k = (3 (1 - 1/2 * 2/3), 4 (1 - 1/4 * 2)) = (2, 2).

    S = (50, 0; 0, 50) holds (30, -40) under kappa, of which a kappa = (3/10, -6/10) of each:

        S = (100/3, 0; 0, 75/2) - (9, -12; -18, 24) + (4, 2; 4, 2) = (85/3, 14; 22, 31/2)

    read by r: (85/3, 14), normalised (1, -1). The current value is read with
    r . (r_k k) = 1 * 1/2 * 2 = 1: (1 + 2, -1 + 1) = (3, 0). g = 1/2 (1, 3), outputs that sum:
    (3/2, 0), both rows of it.
    """
    cell = RWKV(1, 2, heads=1, rank=1).double()
    cell.norm.eps = 0.0
    rate = math.exp(-0.5)
    z = [-math.log(rate / -math.log(keep) - 1) for keep in (2 / 3, 3 / 4)]
    for name, value in {
        "mix": [1 / 2] * 6,
        "receptance.weight": [1 / 2, 0],
        "key.weight": [3 / 2, 2],
        "value.weight": [1, 1 / 2],
        "w_1.weight": [math.atanh(1 / 2) / 2],
        "w_2.weight": [2, 2],
        "w_2.bias": [z[0] - 1, z[1] - 1],
        "a_1.weight": [1 / 4],
        "a_2.weight": [1, 1],
        "a_2.bias": [-1 / 2, math.log(3) - 1 / 2],
        "g_1.weight": [0],
        "g_2.weight": [1, 3],
        "k_k": [1, -1],
        "k_a": [2 / 3, 2],
        "r_k": [1 / 2, 5],
        "norm.gain": [1, 1],
        "norm.shift": [0, 0],
        "output.weight": [1, 1, 1, 1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().reshape(parameter.shape)
    start = RWKVState(50 * torch.eye(2).double().view(1, 1, 2, 2), torch.full((1, 1), 3.0).double())
    run = unroll if parallel else lambda cell, x, state: stepwise(cell, cell.project(x), state)

    y, last = run(cell, torch.ones(1, 1, 1).double(), start)

    torch.testing.assert_close(y.flatten(), torch.tensor([1.5, 1.5]).double(), rtol=1e-6, atol=1e-6)
    expected = torch.tensor([[85 / 3, 14], [22, 31 / 2]]).double()
    torch.testing.assert_close(last.s[0, 0], expected, rtol=1e-5, atol=1e-6)
    assert last.x.item() == 1


def test_it_remembers_the_input_and_not_what_was_before_that() -> None:
    """The look back is of one step: S apart, the state is the last input."""
    cell, _, (s, _) = make()
    x = draw(5, BATCH, X)

    _, last = unroll(cell, x, RWKVState(s, x[0]))

    torch.testing.assert_close(last.x, x[-1])


def test_parameter_count() -> None:
    """Mixtures; r, k, v; low ranks; w_0 and a_0; k_k and k_a; r_k; the norm; the output."""
    cell = RWKV(7, 12, heads=3, rank=5)

    assert parameter_count(cell) == 42 + 252 + 3 * 5 * 19 + 24 + 24 + 12 + 24 + 144


def test_it_starts_as_a_first_layer_in_its_authors_code() -> None:
    torch.manual_seed(0)
    x, h, d = 64, 128, 32
    cell = RWKV(x, h, heads=4, rank=16)
    for n, power in enumerate((0.2, 0.9, 0.7, 0.7, 0.9, 0.2)):
        torch.testing.assert_close(cell.mix[n, 16].item(), 1 - 0.25**power)
    for layer, bound in (
        (cell.receptance, 0.5 / 8),
        (cell.key, 0.05 / 8),
        (cell.value, 0.5 / 8),
        (cell.output, 0.5 / math.sqrt(h)),
    ):
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    for layer in (cell.w_1, cell.a_1, cell.g_1):
        assert not layer.weight.any()
    for layer in (cell.w_2, cell.a_2, cell.g_2):
        torch.testing.assert_close(layer.weight.t() @ layer.weight, 0.01 * torch.eye(16))
    zigzag = [((n % d - 15.5) / 15.5) * abs((n % d - 15.5) / 15.5) for n in range(h)]
    w_0 = [-6 + 6 * n / 127 + 0.5 + 2.5 * zigzag[n] for n in range(h)]
    a_0 = [-0.19 + 0.3 * zigzag[n] + 0.4 * (n / 127 - 0.5) for n in range(h)]
    torch.testing.assert_close(cell.w_2.bias.data, torch.tensor(w_0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cell.a_2.bias.data, torch.tensor(a_0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cell.k_k[[0, -1]].data, torch.tensor([0.76, 0.66]))
    assert (cell.k_a == 1.02).all()
    assert (cell.r_k == -0.04).all()
    assert (cell.norm.gain == 1).all()
    assert not cell.norm.shift.any()
    assert cell.norm.eps == pytest.approx(32e-5)


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
        RWKV(X, H, **options)
