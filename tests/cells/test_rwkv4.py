import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights

from cellbench.cells.rwkv4 import RWKV4, RWKV4State
from cellbench.unroll import stepwise, unroll

X, H, BATCH = 3, 5, 4


def written_out(weights, x, state):
    """Sums over all steps of the paper, with no running maximum; the last one is found at the end.

    What was before the first step is a exp(p) and b exp(p).
    """
    w = weights
    a_0, b_0, p_0, last = state
    before = torch.cat([last.unsqueeze(0), x[:-1]])
    k, v, r = (
        (mix * x + (1 - mix) * before) @ w[f"{name}.weight"].t()
        for mix, name in zip(w["mix"], ("key", "value", "receptance"), strict=True)
    )
    rate, outputs = torch.exp(w["decay"]), []

    def sums(t):
        """Return a and b before step t, and the largest exponent in them."""
        exponents = [p_0 - t * rate, *(k[s] - (t - 1 - s) * rate for s in range(t))]
        a = a_0 * torch.exp(exponents[0]) + sum(
            torch.exp(e) * v[s] for s, e in enumerate(exponents[1:])
        )
        b = b_0 * torch.exp(exponents[0]) + sum(torch.exp(e) for e in exponents[1:])
        return a, b, torch.stack(exponents).amax(0)

    for t in range(len(x)):
        a, b, _ = sums(t)
        current = torch.exp(w["u"] + k[t])
        average = (a + current * v[t]) / (b + current)
        outputs.append((average / (1 + torch.exp(-r[t]))) @ w["output.weight"].t())
    a, b, p = sums(len(x))
    return torch.stack(outputs), (a * torch.exp(-p), b * torch.exp(-p), p, x[-1])


def make() -> tuple[RWKV4, dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    cell = RWKV4(X, H).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    sums = [draw(BATCH, H, seed=1), draw(BATCH, H, seed=2).exp(), draw(BATCH, H, seed=3)]
    return cell, dict(cell.named_parameters()), [*sums, draw(BATCH, X, seed=4)]


each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


@each_form
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(*, time: int, parallel: bool) -> None:
    cell, weights, state = make()

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state),
        draw(time, BATCH, X),
        state,
        weights.values(),
        cell="rwkv4",
        against=FORMULAS,
    )


def run(cell: RWKV4, x: torch.Tensor, state: RWKV4State | None = None, *, parallel: bool):
    if parallel:
        return unroll(cell, x, state)
    return stepwise(cell, cell.project(x), state or cell.initial_state(x.shape[1]))


def by_hand(*, parallel: bool, p: float):
    """Run one step, x = 1 after 3, from a = 6 and b = 2 times exp(-p)."""
    cell = RWKV4(1, 1).double()
    for name, value in {
        "mix": [[1 / 2], [1 / 4], [1]],
        "key.weight": [[LN_3 / 2]],
        "value.weight": [[2]],
        "receptance.weight": [[LN_3]],
        "output.weight": [[4]],
        "decay": [math.log(LN_3)],
        "u": [math.log(2) - LN_3],
    }.items():
        cell.get_parameter(name).data = torch.tensor(value).double()
    parts = (6 * math.exp(-p), 2 * math.exp(-p), p, 3.0)
    state = RWKV4State(*(torch.tensor([[part]]).double() for part in parts))
    return run(cell, torch.ones(1, 1, 1).double(), state, parallel=parallel)


@each_form
@pytest.mark.parametrize("p", [-1.0, 0.5, 3.0], ids=["below", "between", "above"])
def test_one_step_by_hand(*, p: float, parallel: bool) -> None:
    """x_k = 2, x_v = 1/4 + 9/4 = 5/2, x_r = 1: exp(k) = 3, v = 5, sigmoid(r) = 3/4.

    exp(u + k) = 2: the average is (6 + 2 * 5) / (2 + 2) = 4, and y = 4 * 3/4 * 4 = 12.
    exp(-w) = 1/3: a = 6/3 + 3 * 5 = 17, b = 2/3 + 3 = 11/3.
    """
    y, (a, b, last_p, x) = by_hand(parallel=parallel, p=p)

    assert y.item() == pytest.approx(12)
    assert (a * last_p.exp()).item() == pytest.approx(17)
    assert (b * last_p.exp()).item() == pytest.approx(11 / 3)
    assert last_p.item() == pytest.approx(max(p - LN_3, LN_3))
    assert x.item() == 1


def plain(size: float) -> RWKV4:
    """Return a cell whose y is the average itself, with keys of `size` times the first input."""
    cell, _, _ = make()
    with torch.no_grad():
        cell.key.weight.zero_()
        cell.key.weight[:, 0] = size
        cell.mix.fill_(1)
        cell.decay.fill_(-100)
        cell.u.zero_()
        cell.receptance.weight.zero_()
        cell.output.weight.copy_(2 * torch.eye(H))
    return cell


@each_form
@pytest.mark.parametrize("size", [1e4, -1e4], ids=["overflow", "underflow"])
def test_of_equal_keys_the_average_is_that_of_all_values(*, size: float, parallel: bool) -> None:
    """With no decay; whatever their exponential, which here is infinite, or 0."""
    cell = plain(size)
    x = draw(9, BATCH, X)
    x[..., 0] = 1

    y, last = run(cell, x, parallel=parallel)

    steps = torch.arange(1, 10).double().view(9, 1, 1)
    torch.testing.assert_close(y, cell.value(x).cumsum(0) / steps)
    torch.testing.assert_close(last.p, torch.full_like(last.p, size))


@each_form
def test_beside_a_key_that_is_much_larger_others_do_not_count(*, parallel: bool) -> None:
    cell = plain(1e4)
    x = draw(9, BATCH, X)
    x[..., 0] = -1
    x[4, :, 0] = 1

    y, last = run(cell, x, parallel=parallel)

    v = cell.value(x)
    torch.testing.assert_close(y[4:], v[4].expand_as(y[4:]))
    torch.testing.assert_close(last.a, v[4])


@each_form
def test_the_first_output_is_the_first_value(*, parallel: bool) -> None:
    """Nothing is before it, whatever its key."""
    cell, weights, _ = make()
    x = draw(1, BATCH, X)

    y, _ = run(cell, x, parallel=parallel)

    v = (weights["mix"][1] * x[0]) @ weights["value.weight"].t()
    gate = torch.sigmoid((weights["mix"][2] * x[0]) @ weights["receptance.weight"].t())
    torch.testing.assert_close(y[0], cell.output(gate * v))


def test_parameter_count() -> None:
    """Mixtures; k, v, r; the decay and u; the output."""
    assert parameter_count(RWKV4(7, 12)) == 21 + 252 + 24 + 144


def test_it_starts_as_a_first_layer_in_its_authors_code() -> None:
    cell = RWKV4(64, 128)

    torch.testing.assert_close(cell.mix[:, 16].data, torch.tensor([0.25, 0.25, 0.5]))
    decay = [-5 + 8 * (n / 127) ** 0.7 for n in range(128)]
    torch.testing.assert_close(cell.decay.data, torch.tensor(decay))
    u = [math.log(0.3) + step for step in (0, 0.5, -0.5, 0)]
    torch.testing.assert_close(cell.u[:4].data, torch.tensor(u))
