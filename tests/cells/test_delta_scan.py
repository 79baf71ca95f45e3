"""The delta rule in chunks: it is the loop over its steps, and remembers what it should."""

from functools import partial

import pytest
import torch
from cell_parity import draw
from torch.nn.functional import logsigmoid, normalize

from cellbench.cells import delta_scan
from cellbench.cells.delta_scan import delta_rule, delta_step, low_rank_scan, unit_length
from cellbench.testing import unchecked_shapes

BATCH, KEY, VALUE = (2, 3), 5, 4


def loop(*given):
    """Take q, a, b, c, k, v, log_decay and the state."""
    *given, state = given
    outputs = []
    for q_t, a_t, b_t, c_t, k_t, v_t, log_decay_t in zip(*given, strict=True):
        u = c_t + torch.einsum("...kv,...k->...v", state, a_t)
        state = log_decay_t.exp().unsqueeze(-1) * state
        state = state + torch.einsum("...k,...v->...kv", b_t, u)
        state = state + torch.einsum("...k,...v->...kv", k_t, v_t)
        outputs.append(torch.einsum("...kv,...k->...v", state, q_t))
    return torch.stack(outputs), state


def scan(*given):
    q, a, b, c, k, v, log_decay, state = given
    return low_rank_scan(q, a, b, c, log_decay=log_decay, state=state, also=(k, v))


def case(time: int, gates: int, strength: float = 1.0, batch=BATCH):
    """Return all that the scan takes: keys of length 1, |a| < 1, and a state that is not zero."""
    q, a, b, k = (normalize(draw(time, *batch, KEY, seed=seed), dim=-1) for seed in range(4))
    c, v = (draw(time, *batch, VALUE, seed=seed) for seed in (4, 5))
    log_decay = strength * logsigmoid(draw(time, *batch, gates, seed=6))
    state = draw(*batch, KEY, VALUE, seed=7)
    return [part.requires_grad_() for part in (q, 0.7 * a, b, c, k, v, log_decay, state)]


def results(form, given):
    """Outputs, last state, and every gradient under a cotangent on both."""
    y, last = form(*given)
    cotangents = [draw(*out.shape, seed=9) for out in (y, last)]
    return [y, last, *torch.autograd.grad([y, last], given, cotangents)]


same = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-10)
each_gate = pytest.mark.parametrize("gates", [1, KEY], ids=["one-decay", "decay-each"])


def test_two_steps_by_hand() -> None:
    """One key, one value, S_0 = 2; decays 1/2 and 1/4.

    u_1 = 1 + 3 * 2 = 7,    S_1 = 1/2 * 2 + 2 * 7 + 1 * 5 = 20,     y_1 = -1 * 20.
    u_2 = 0 - 1/2 * 20,     S_2 = 1/4 * 20 + 1 * -10 + 3 * 2 = 1,   y_2 = 4 * 1.
    """
    q, a, b, c = ((-1.0, 4.0), (3.0, -0.5), (2.0, 1.0), (1.0, 0.0))
    k, v, decay = (1.0, 3.0), (5.0, 2.0), (0.5, 0.25)
    columns = [torch.tensor(part).view(2, 1) for part in (q, a, b, c, k, v)]

    y, state = scan(*columns, torch.tensor(decay).view(2, 1).log(), torch.tensor([[2.0]]))

    torch.testing.assert_close(y.flatten(), torch.tensor([-20.0, 4.0]))
    torch.testing.assert_close(state, torch.tensor([[1.0]]))


def test_a_delta_step_by_hand() -> None:
    """S^T k = 1 * 3 + 2 * 1 = 5, so 9 - 5 = 4 is missing; half of it, times k, is 2 and 4.

    S = (5, 5), and y = 1 * 5 - 2 * 5 = -5. In a chunk, after a decay of 1/3 from (9, 3), too.
    """
    q, k, v = torch.tensor([1.0, -2.0]), torch.tensor([1.0, 2.0]), torch.tensor([9.0])
    half, decay = torch.tensor([0.5]), torch.tensor([[1 / 3]])
    found = delta_step(q, k, v, half, torch.tensor([[3.0], [1.0]]))
    steps = (part.unsqueeze(0) for part in (q, k, v, half))
    y, state = delta_rule(*steps, log_decay=decay.log(), state=torch.tensor([[9.0], [3.0]]))

    torch.testing.assert_close(found, (torch.tensor([-5.0]), torch.tensor([[5.0], [5.0]])))
    torch.testing.assert_close((y[0], state), found)


@each_gate
@pytest.mark.parametrize("time", [1, 2, 7, 31, 32, 33, 64, 130])
def test_it_is_the_loop_in_values_and_gradients(time: int, gates: int) -> None:
    given = case(time, gates)

    same(results(scan, given), results(loop, given))


@each_gate
@pytest.mark.parametrize("strength", [1e-6, 30.0, 1e4])
def test_hardly_a_decay_and_the_strongest_are_the_loop(strength: float, gates: int) -> None:
    """e^-10000 is 0 and e^10000 is none: neither may be met on the way."""
    given = case(70, gates, strength)
    if strength < 1:
        given[1] = (0.1 * given[1]).detach().requires_grad_()  # or the loop itself overflows

    same(results(scan, given), results(loop, given))


@each_gate
def test_single_precision_loses_no_weak_decay_beside_a_strong_one(gates: int) -> None:
    """As a difference of sums near 1e6, every decay after the strong one would be rounded away."""
    given = [tensor.detach().float() for tensor in case(64, gates, 0.01)]
    given[1] *= 0.1
    given[6][5] = -1e6
    exact, _ = loop(*(tensor.double() for tensor in given))

    y, _ = scan(*given)

    torch.testing.assert_close(y.double(), exact, rtol=1e-4, atol=1e-4)


@each_gate
@pytest.mark.parametrize("chunk", [1, 2, 16])
def test_the_size_of_a_chunk_changes_nothing(monkeypatch, chunk: int, gates: int) -> None:
    given = case(40, gates)
    expected = results(scan, given)

    monkeypatch.setattr(delta_scan, "CHUNK", chunk)

    same(results(scan, given), expected)


@each_gate
def test_a_stack_of_seeds_is_each_of_them(gates: int) -> None:
    given = case(40, gates, batch=(3, 2))
    stacked = torch.vmap(scan, in_dims=(1,) * 7 + (0,), out_dims=(1, 0))

    same(results(stacked, given), results(scan, given))


@each_gate
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch's, where it traces
def test_it_compiles_in_one_graph(monkeypatch, gates: int) -> None:
    monkeypatch.setattr(delta_scan, "CHUNK", 4)  # every halving of a chunk is traced
    given = case(7, gates)
    compiled = torch.compile(scan, fullgraph=True, backend="aot_eager")

    with unchecked_shapes():
        found = results(compiled, given)

    same(found, results(loop, given))


def test_half_precision_is_solved_in_the_precision_of_the_state() -> None:
    """What a layer makes under autocast has half the width; a triangle cannot be solved in it."""
    given = [part.detach() for part in case(40, 1)]
    halves = [part.bfloat16() for part in given[:-1]]
    exact, _ = loop(*(part.double() for part in halves), given[-1])

    with torch.autocast("cpu", torch.bfloat16):
        y, state = scan(*halves, given[-1].float())

    assert state.dtype == torch.float32
    torch.testing.assert_close(y.double(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("log_decay", [0.0, -0.5])
def test_what_was_written_is_read_exactly(log_decay: float) -> None:
    """With beta = 1 and |k| = 1, S_t k_t = v_t: all of what was there before is gone."""
    time = 20
    k, v = normalize(draw(time, KEY), dim=-1), draw(time, VALUE, seed=1)
    ones = torch.ones(time, 1).double()

    y, _ = delta_rule(k, k, v, ones, log_decay=log_decay * ones, state=draw(KEY, VALUE, seed=2))

    same(y, v)


def test_as_many_pairs_as_features_are_kept_and_one_more_is_not() -> None:
    """Orthogonal keys do not touch each other; a further key is a sum of them, and must."""
    basis = torch.linalg.qr(draw(KEY, KEY))[0]
    k = torch.cat([basis, normalize(draw(1, KEY, seed=3), dim=-1)])
    v = draw(KEY + 1, VALUE, seed=1)
    ones, state = torch.ones(KEY + 1, 1).double(), torch.zeros(KEY, VALUE).double()

    def stored(n: int):
        given = (part[:n] for part in (k, k, v, ones))
        return delta_rule(*given, log_decay=0 * ones[:n], state=state)[1]

    same(basis @ stored(KEY), v[:KEY])
    same(k[KEY] @ stored(KEY + 1), v[KEY])
    assert ((basis @ stored(KEY + 1) - v[:KEY]).abs().amax(1) > 1e-3).all()


def test_the_unit_of_nothing_is_nothing_and_has_a_finite_gradient() -> None:
    zeros = torch.zeros(3, requires_grad=True)

    (gradient,) = torch.autograd.grad(unit_length(zeros).sum(), zeros)

    torch.testing.assert_close(gradient, torch.full((3,), 1e3))
    torch.testing.assert_close(unit_length(torch.tensor([3e3, -4e3])), torch.tensor([0.6, -0.8]))
