import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, foreign, parameter_count, with_weights
from torch import nn

from cellbench.cells.mlstm import MLSTM, MLSTMState
from cellbench.errors import OptionError
from cellbench.unroll import slices, stepwise, unroll

TIMES = [1, 2, 7, 64]
FORMS = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
X, H, HEADS, D = 3, 6, 2, 3


def state() -> list[torch.Tensor]:
    shapes = [(4, HEADS, D, D), (4, HEADS, D), (4, HEADS)]
    return [draw(*shape, seed=1 + n) for n, shape in enumerate(shapes)]


def drawn(**options) -> tuple[MLSTM, dict[str, torch.Tensor]]:
    """Make a cell and weights for it, none of which is 0."""
    cell = MLSTM(X, H, heads=HEADS, **options).double()
    return cell, {
        name: (0.8 * draw(*parameter.shape, seed=5 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }


def linear(weights, name: str, x):
    return x @ weights[f"{name}.weight"].t() + weights[f"{name}.bias"]


def written_out(weights, x, state, *, exponential: bool):
    """Write the paper's formulas out again, unstabilised: true C and n, head by head.

    A state of ours is the true one, scaled by exp(-m), and C transposed.
    """
    c, n, m = state
    memory = c.mT * m.exp()[..., None, None]
    n = n * m.exp()[..., None]
    outputs = []
    for x_t in x:
        i, f = linear(weights, "input_gate", x_t), linear(weights, "forgetting", x_t)
        log_f = f if exponential else -torch.log1p(torch.exp(-f))
        m = torch.where(log_f + m > i, log_f + m, i)
        heads = []
        for head in range(HEADS):
            own = slice(D * head, D * head + D)
            q, v = (linear(weights, name, x_t)[:, own] for name in ("query", "value"))
            k = (x_t @ weights["key.weight"].t() / math.sqrt(D) + weights["key.bias"])[:, own]
            keep, write = log_f[:, head].exp(), i[:, head].exp()
            after = keep[:, None, None] * memory[:, head] + write[:, None, None] * torch.einsum(
                "bv,bk->bvk", v, k
            )
            new_n = keep[:, None] * n[:, head] + write[:, None] * k
            norm = torch.einsum("bk,bk->b", new_n, q).abs()
            norm = torch.where(norm > 1, norm, torch.ones_like(norm))
            heads.append((torch.einsum("bvk,bk->bv", after, q) / norm[:, None], after, new_n))
        read, memories, ns = zip(*heads, strict=True)
        memory, n = torch.stack(memories, 1), torch.stack(ns, 1)
        o = 1 / (1 + torch.exp(-linear(weights, "output_gate", x_t)))
        outputs.append(o * torch.cat(read, 1))
    scale = (-m).exp()
    return torch.stack(outputs), (memory.mT * scale[..., None, None], n * scale[..., None], m)


@FORMS
@pytest.mark.parametrize("forget_gate", ["sigmoid", "exponential"])
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_formulas_of_the_paper(*, time: int, forget_gate: str, parallel: bool) -> None:
    cell, weights = drawn(forget_gate=forget_gate)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, s: written_out(weights, x, s, exponential=forget_gate == "exponential"),
        draw(time, 4, X),
        state(),
        weights.values(),
        cell="mlstm",
        against=FORMULAS,
    )


def for_the_authors(weights, x):
    """Return q, k, v, i and f as `[batch, head, time, features]`; theirs scale all of k."""
    k = x @ weights["key.weight"].t() + math.sqrt(D) * weights["key.bias"]
    q, v = (linear(weights, name, x) for name in ("query", "value"))
    vectors = [part.view(*x.shape[:2], HEADS, D).permute(1, 2, 0, 3) for part in (q, k, v)]
    gates = [linear(weights, name, x) for name in ("input_gate", "forgetting")]
    return vectors + [gate.permute(1, 2, 0).unsqueeze(-1) for gate in gates]


def gated(weights, x, read):
    o = torch.sigmoid(linear(weights, "output_gate", x))
    return o * read.permute(2, 0, 1, 3).flatten(2)


@FORMS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_one_of_its_authors(*, time: int, parallel: bool) -> None:
    """Step by step, without the 1e-6 that theirs adds to what it divides by."""
    step = foreign("xlstm.blocks.mlstm.backends").recurrent_step_stabilized_simple
    cell, weights = drawn()

    def theirs(x, state):
        (c, n, m), outputs = state, []
        carried = (c, n.unsqueeze(-1), m[..., None, None])
        for parts in zip(*(p.unbind(2) for p in for_the_authors(weights, x)), strict=True):
            inputs = [part.unsqueeze(2).clone() for part in parts]  # it changes them
            y, carried = step(*carried, *inputs, eps=0.0)
            outputs.append(y)
        c, n, m = carried
        y = gated(weights, x, torch.cat(outputs, 2))
        return y, (c, n.squeeze(-1), m[..., 0, 0])

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        theirs,
        draw(time, 4, X),
        state(),
        weights.values(),
        cell="mlstm",
        against="xlstm: blocks.mlstm.backends",
    )


@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_parallel_form_of_its_authors_which_carries_nothing(time: int) -> None:
    whole = foreign("xlstm.blocks.mlstm.backends").parallel_stabilized_simple
    cell, weights = drawn()
    x = draw(time, 4, X)

    y, _ = with_weights(cell, weights, parallel=True)(x, cell.initial_state(4))

    right = gated(weights, x, whole(*for_the_authors(weights, x), eps=0.0))
    torch.testing.assert_close(y, right)


def by_hand(q: float, **options) -> list[float]:
    """Take one step of x = 1 with c = 2, n = 4, m = ln 3, in both forms.

    k = 5 / sqrt(1) + 1 = 6, v = 2, i = ln 3, f = ln 3 and o = sigmoid(ln 3) = 3/4.
    """
    cell = MLSTM(1, 1, **options).double()
    values = {
        "query": (q, 0),
        "key": (5, 1),
        "value": (1, 1),
        "input_gate": (LN_3, 0),
        "forgetting": (0, LN_3),
        "output_gate": (2 * LN_3, -LN_3),
    }
    for name, (weight, bias) in values.items():
        nn.init.constant_(cell.get_submodule(name).weight, weight)
        nn.init.constant_(cell.get_submodule(name).bias, bias)
    parts = (torch.tensor(v).double() for v in ([[[[2.0]]]], [[[4.0]]], [[LN_3]]))
    start, x = MLSTMState(*parts), torch.ones(1, 1, 1).double()
    y, last = stepwise(cell, cell.project(x), start)
    fast, end = unroll(cell, x, start)
    torch.testing.assert_close(fast, y)
    torch.testing.assert_close(end, last)
    return [y.item(), *(part.item() for part in last)]


def test_one_step_by_hand() -> None:
    """f = 3/4: f + m = ln(9/4), below i = ln 3, so m = ln 3, i' = 1 and f' = 3/4.

    c = 3/4 * 2 + 1 * 6 * 2 = 27/2    n = 3/4 * 4 + 6 = 9
    q = -2: h = 3/4 * -27 / max(18, 1/3) = -9/8
    q = 1/54: h = 3/4 * 1/4 / max(1/6, 1/3) = 9/16, where the floor is 1 / exp(m)
    """
    assert by_hand(-2.0) == pytest.approx([-9 / 8, 27 / 2, 9, LN_3])
    assert by_hand(1 / 54)[0] == pytest.approx(9 / 16)


def test_one_step_by_hand_of_an_exponential_forget_gate() -> None:
    """f = 3: f + m = 2 ln 3, above i, so m = 2 ln 3, i' = 1/3 and f' = 1.

    c = 2 + 1/3 * 12 = 6    n = 4 + 1/3 * 6 = 6    q = 2: h = 3/4 * 12 / 12 = 3/4
    """
    assert by_hand(2.0, forget_gate="exponential") == pytest.approx([3 / 4, 6, 6, 2 * LN_3])


@pytest.mark.parametrize("offset", [-5.0, 5.0])
@FORMS
def test_what_it_gives_does_not_depend_on_the_stabiliser(*, offset: float, parallel: bool) -> None:
    cell, weights = drawn()
    run, x = with_weights(cell, weights, parallel=parallel), draw(7, 4, X)
    c, n, m = state()

    scaled = (c * math.exp(-offset), n * math.exp(-offset), m + offset)

    torch.testing.assert_close(run(x, scaled)[0], run(x, (c, n, m))[0])


def test_what_is_stored_under_keys_at_right_angles_is_found_again() -> None:
    """Keys of length sqrt(d), read by themselves: the store gives each value back whole."""
    cell = MLSTM(4, 4, forget_gate="exponential").double()
    for name in ("query", "key", "value"):
        nn.init.eye_(cell.get_submodule(name).weight)
    nn.init.zeros_(cell.input_gate.bias)
    nn.init.zeros_(cell.forgetting.bias)  # forgets nothing
    nn.init.constant_(cell.output_gate.bias, 100.0)
    cell.value.weight.data = draw(4, 4)
    x = 2 * torch.eye(4).double().unsqueeze(1)

    _, stored = unroll(cell, x)
    nn.init.constant_(cell.input_gate.bias, -1e9)  # writes no more
    found = [cell.step(slices(cell.project(x[t : t + 1]))[0], stored)[0] for t in range(4)]

    torch.testing.assert_close(torch.stack(found), cell.value(x))


@pytest.mark.parametrize("gate", ["input_gate", "forgetting"])
@pytest.mark.parametrize("size", [-1e4, 1e4])
@FORMS
def test_gates_of_any_size_overflow_nowhere(gate, size, *, parallel) -> None:
    torch.manual_seed(0)
    cell = MLSTM(X, 4, heads=2)
    nn.init.constant_(cell.get_submodule(gate).bias, size)
    p, start = cell.project(torch.randn(40, 2, X)), cell.initial_state(2)

    y, last = cell.parallel(p, start) if parallel else stepwise(cell, p, start)
    gradients = torch.autograd.grad(y.sum(), list(cell.parameters()))

    assert all(part.isfinite().all() for part in (y, *last, *gradients))


def test_a_long_parallel_run_is_exact_in_float32() -> None:
    """Decays are never differences of long sums, though the stabiliser is."""
    torch.manual_seed(0)
    cell, x = MLSTM(X, 4, heads=2), torch.randn(2000, 2, X)
    nn.init.constant_(cell.forgetting.bias, -3.0)

    exact, _ = unroll(cell.double(), x.double())
    y, _ = unroll(cell.float(), x)

    torch.testing.assert_close(y.double(), exact, rtol=1e-4, atol=1e-5)


def test_it_starts_as_its_authors_have_it() -> None:
    torch.manual_seed(0)
    cell = MLSTM(50, 64, heads=4)

    for linear in (cell.query, cell.key, cell.value, cell.output_gate):
        assert linear.weight.std().item() == pytest.approx(math.sqrt(2 / 250), rel=0.04)
        assert not linear.bias.any()
    assert not cell.input_gate.weight.any()
    assert not cell.forgetting.weight.any()
    assert cell.forgetting.bias.tolist() == [3, 4, 5, 6]
    biases = torch.stack([MLSTM(1, 64, heads=64).input_gate.bias for _ in range(8)])
    assert biases.std().item() == pytest.approx(0.1, rel=0.1)


def test_parameter_count() -> None:
    """4 matrices of 8 x 7 with 8 biases; 2 gates of 2 heads with 7 weights and a bias each."""
    assert parameter_count(MLSTM(7, 8, heads=2)) == 4 * (56 + 8) + 2 * 2 * 8


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"heads": 3}, "heads must divide hidden_size: 4 is no multiple of 3"),
        ({"heads": 0}, "heads must be a whole number of at least 1"),
        ({"forget_gate": "exp"}, "forget_gate must be one of sigmoid, exponential"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option, said) -> None:
    with pytest.raises(OptionError, match=said):
        MLSTM(3, 4, **option)
