"""Linear attention in chunks: it is the loop over its steps."""

import pytest
import torch
from cell_parity import draw

from cellbench.cells import matrix_scan
from cellbench.cells.matrix_scan import gated_linear_attention
from cellbench.testing import unchecked_shapes

BATCH, KEY, VALUE = (2, 3), 5, 4


def loop(q, k, v, log_decay, state):
    outputs = []
    for q_t, k_t, v_t, log_decay_t in zip(q, k, v, log_decay, strict=True):
        written = torch.einsum("...k,...v->...kv", k_t, v_t)
        state = log_decay_t.exp().unsqueeze(-1) * state + written
        outputs.append(torch.einsum("...kv,...k->...v", state, q_t))
    return torch.stack(outputs), state


def case(time: int, gates: int, strength: float = 1.0, batch=BATCH):
    """Return q, k, v, decays of -ln(1 + e^x) times `strength`, and a state that is not zero."""
    q, k = (draw(time, *batch, KEY, seed=seed) for seed in range(2))
    v, log_decay = draw(time, *batch, VALUE, seed=2), draw(time, *batch, gates, seed=3)
    log_decay = strength * torch.nn.functional.logsigmoid(log_decay)
    state = draw(*batch, KEY, VALUE, seed=4)
    return [tensor.requires_grad_() for tensor in (q, k, v, log_decay, state)]


def results(form, given):
    """Outputs, last state, and every gradient under a cotangent on both."""
    y, last = form(*given)
    cotangents = [draw(*out.shape, seed=9) for out in (y, last)]
    return [y, last, *torch.autograd.grad([y, last], given, cotangents)]


each_gate = pytest.mark.parametrize("gates", [1, KEY], ids=["one-decay", "decay-each"])


def test_two_steps_by_hand() -> None:
    """S_1 = 1/2 [2 4] + 3 [1 0] = [4 2],  y_1 = 2 S_1 = [8 4].

    S_2 = 1/4 [4 2] + 1 [0 1] = [1 3/2],  y_2 = -1 S_2 = [-1 -3/2].
    """
    q, k = torch.tensor([[2.0], [-1.0]]), torch.tensor([[3.0], [1.0]])
    v, decay = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.5], [0.25]])

    y, state = gated_linear_attention(q, k, v, decay.log(), torch.tensor([[2.0, 4.0]]))

    torch.testing.assert_close(y, torch.tensor([[8.0, 4.0], [-1.0, -1.5]]))
    torch.testing.assert_close(state, torch.tensor([[1.0, 1.5]]))


@each_gate
@pytest.mark.parametrize("time", [1, 2, 7, 31, 32, 33, 64, 130])
def test_it_is_the_loop_in_values_and_gradients(time: int, gates: int) -> None:
    given = case(time, gates)

    torch.testing.assert_close(
        results(gated_linear_attention, given), results(loop, given), rtol=1e-10, atol=1e-12
    )


@each_gate
@pytest.mark.parametrize("strength", [0.0, 1e-6, 30.0, 1e4])
def test_no_decay_and_the_strongest_are_the_loop(strength: float, gates: int) -> None:
    """e^-10000 is 0 and e^10000 is none: neither may be met on the way."""
    given = case(70, gates, strength)

    torch.testing.assert_close(
        results(gated_linear_attention, given), results(loop, given), rtol=1e-10, atol=1e-12
    )


@each_gate
def test_single_precision_loses_no_weak_decay_beside_a_strong_one(gates: int) -> None:
    """As a difference of sums near 1e6, every decay after the strong one would be rounded away."""
    given = [tensor.detach().float() for tensor in case(64, gates, 0.01)]
    given[3][5] = -1e6
    exact, _ = loop(*(tensor.double() for tensor in given))

    y, _ = gated_linear_attention(*given)

    torch.testing.assert_close(y.double(), exact, rtol=1e-4, atol=1e-4)


@each_gate
@pytest.mark.parametrize("chunk", [1, 2, 16])
def test_the_size_of_a_chunk_changes_nothing(monkeypatch, chunk: int, gates: int) -> None:
    given = case(40, gates)
    expected = results(gated_linear_attention, given)

    monkeypatch.setattr(matrix_scan, "CHUNK", chunk)

    torch.testing.assert_close(
        results(gated_linear_attention, given), expected, rtol=1e-10, atol=1e-12
    )


@each_gate
def test_going_on_from_the_state_is_never_having_stopped(gates: int) -> None:
    *given, start = case(50, gates)
    whole, last = gated_linear_attention(*given, start)

    first, state = gated_linear_attention(*(tensor[:19] for tensor in given), start)
    rest, end = gated_linear_attention(*(tensor[19:] for tensor in given), state)

    torch.testing.assert_close([torch.cat([first, rest]), end], [whole, last])


@each_gate
def test_a_stack_of_seeds_is_each_of_them(gates: int) -> None:
    given = case(40, gates, batch=(3, 2))
    stacked = torch.vmap(gated_linear_attention, in_dims=(1, 1, 1, 1, 0), out_dims=(1, 0))

    torch.testing.assert_close(results(stacked, given), results(gated_linear_attention, given))


@each_gate
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch's, where it traces
def test_it_compiles_in_one_graph(gates: int) -> None:
    given = case(40, gates)
    compiled = torch.compile(gated_linear_attention, fullgraph=True, backend="aot_eager")

    with unchecked_shapes():
        found = results(compiled, given)

    torch.testing.assert_close(found, results(loop, given))


def test_it_can_be_differentiated_twice() -> None:
    given = [tensor.detach()[:3, 0, :2, :2].requires_grad_() for tensor in case(3, KEY)[:4]]
    state = draw(2, 2, 2, seed=5).requires_grad_()

    torch.autograd.gradgradcheck(gated_linear_attention, [*given, state])
