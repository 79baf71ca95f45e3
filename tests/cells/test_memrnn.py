import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from torch import Tensor, nn

from cellbench.cells.memrnn import MemRNN, MemRNNState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll


def random_weights(cell: nn.Module) -> dict[str, Tensor]:
    return {
        name: draw(*weight.shape, seed=10 + n).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }


def written_out(weights, x, state, tape: int, f):
    """Write the paper's formula out again: a sequence and an entry at a time."""
    v, k, q = (weights[f"scores.{name}"] for name in ("score", "key.weight", "query.weight"))
    sequences = []
    for b in range(x.shape[1]):
        entries, s, outputs = list(state[0][b]), state[1][b], []
        for x_t in x[:, b]:
            seen = entries[-tape:] if tape else entries
            e = [torch.exp(v[0] @ torch.tanh(k @ h + q @ s)) for h in seen]
            c = sum(e_j / sum(e) * h for e_j, h in zip(e, seen, strict=True))
            s = 0.5 * (seen[-1] + c) if seen else torch.zeros_like(s)
            u = weights["input.weight"] @ x_t + weights["input.bias"]
            entries.append(f(weights["recurrent.weight"] @ s + u))
            outputs.append(entries[-1])
        last = torch.stack(entries[-tape:] if tape else entries)
        sequences.append((torch.stack(outputs), last, s))
    y, h, s = map(torch.stack, zip(*sequences, strict=True))
    return y.transpose(0, 1), (h, s)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize(("tape", "remembered"), [(0, 0), (0, 2), (3, 0), (3, 2), (3, 3)], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7])
def test_it_is_the_formula_of_the_paper(time, tape, remembered, nonlinearity) -> None:
    """From an empty tape, from a full one, and, being bounded, past its end."""
    cell = MemRNN(3, 5, tape=tape, nonlinearity=nonlinearity).double()
    weights = random_weights(cell)
    f = torch.tanh if nonlinearity == "tanh" else lambda v: v.clamp(min=0)

    def ours(x, state):
        h, s = state
        keys = h @ weights["scores.key.weight"].t()
        parts = (h, keys, h.new_ones(*h.shape[:2], 1))
        free = [0, 0, tape - remembered, 0] if tape else [0, 0, 0, 0]
        h, keys, filled = (nn.functional.pad(part, free) for part in parts)
        start = MemRNNState(h, keys, filled.squeeze(-1), s)
        y, last = with_weights(cell, weights)(x, start)
        seen = remembered + time if not tape else min(tape, remembered + time)
        assert last.filled.sum(1).tolist() == [seen] * 2
        kept = last.h[:, -seen:]
        torch.testing.assert_close(last.keys[:, -seen:], kept @ weights["scores.key.weight"].t())
        return y, (kept, last.s)

    assert_same(
        ours,
        lambda x, state: written_out(weights, x, state, tape, f),
        draw(time, 2, 3),
        [draw(2, remembered, 5, seed=1), draw(2, 5, seed=2)],
        weights.values(),
        cell="memrnn",
        against=FORMULAS,
    )


def test_it_is_the_formula_for_long() -> None:
    cell = MemRNN(3, 5).double()
    weights = random_weights(cell)

    def ours(x, state):
        h, s = state
        keys = h @ weights["scores.key.weight"].t()
        _, last = out = with_weights(cell, weights)(x, MemRNNState(h, keys, h[..., 0] * 0 + 1, s))
        return out[0], (last.h, last.s)

    assert_same(
        ours,
        lambda x, state: written_out(weights, x, state, 0, torch.tanh),
        draw(64, 2, 3),
        [draw(2, 3, 5, seed=1), draw(2, 5, seed=2)],
        weights.values(),
        cell="memrnn",
        against=FORMULAS,
    )


def test_one_step_by_hand() -> None:
    """Tape h = (1, 5), with keys K h = (ln 3, 0); s = 2, x = 1.

    query ln 3 / -4 * 2 = -ln 3 / 2; key + query = (ln 3 / 2, -ln 3 / 2); tanh = (1/2, -1/2)
    v = ln 3: a = (ln 3 / 2, -ln 3 / 2), p = (3/4, 1/4), read 3/4 + 5/4 = 2
    s = (5 + 2) / 2 = 7/2;  V s = ln 3 / 7 * 7/2 = ln 3 / 2; U x + b = 2 ln 3 - 2 ln 3
    h = tanh(ln 3 / 2) = 1/2, with key -3 * 1/2
    """
    cell = MemRNN(1, 1).double()
    for name, value in {
        "input.weight": 2 * LN_3,
        "input.bias": -2 * LN_3,
        "recurrent.weight": LN_3 / 7,
        "scores.key.weight": -3.0,
        "scores.query.weight": -LN_3 / 4,
        "scores.score": LN_3,
    }.items():
        nn.init.constant_(cell.get_parameter(name), value)
    start = MemRNNState(
        h=torch.tensor([[[1.0], [5.0]]]).double(),
        keys=torch.tensor([[[LN_3], [0.0]]]).double(),
        filled=torch.ones(1, 2).double(),
        s=torch.tensor([[2.0]]).double(),
    )

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(1 / 2)
    torch.testing.assert_close(last.h.flatten().tolist(), [1.0, 5.0, 0.5])
    torch.testing.assert_close(last.keys.flatten().tolist(), [LN_3, 0.0, -1.5])
    assert last.filled.tolist() == [[1, 1, 1]]
    assert last.s.item() == pytest.approx(7 / 2)


def test_a_tape_of_one_makes_it_a_simple_rnn() -> None:
    torch.manual_seed(0)
    cell = MemRNN(3, 5, tape=1).double()
    rnn = nn.RNN(3, 5).double()
    rnn.weight_ih_l0.data, rnn.weight_hh_l0.data = cell.input.weight, cell.recurrent.weight
    rnn.bias_ih_l0.data = cell.input.bias
    rnn.bias_hh_l0.data.zero_()
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(cell, x)[0], rnn(x)[0])


def test_a_tape_that_is_long_enough_is_as_good_as_one_that_grows() -> None:
    torch.manual_seed(0)
    grows, bounded = MemRNN(3, 5).double(), MemRNN(3, 5, tape=9).double()
    bounded.load_state_dict(grows.state_dict())
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(bounded, x), unroll(grows, x))
    assert grows.grows
    assert not bounded.grows


def test_of_equal_entries_it_reads_that_entry() -> None:
    """Attention sums to 1, so s is what every entry is."""
    torch.manual_seed(0)
    cell = MemRNN(3, 5, tape=9).double()
    h, filled = draw(2, 1, 5).expand(2, 9, 5), torch.ones(2, 9).double()
    filled[0, :4] = 0  # of a tape that is partly free, too
    start = MemRNNState(h, draw(2, 9, 5, seed=1), filled, draw(2, 5, seed=2))

    _, last = cell.step(cell.project(draw(1, 2, 3))[0], start)

    torch.testing.assert_close(last.s, h[:, 0])


@pytest.mark.parametrize("tape", [0, 3])
def test_an_empty_tape_reads_as_zero_and_harms_no_gradient(tape: int) -> None:
    cell = MemRNN(3, 5, tape=tape)
    start = cell.initial_state(2)
    for part in start:
        part.requires_grad_()

    y, state = stepwise(cell, cell.project(torch.randn(2, 2, 3)), start)
    y.sum().backward()
    first = unroll(cell, torch.randn(1, 2, 3))[1]

    assert not first.s.any()
    assert state.h.shape == (2, tape or 2, 5)
    assert all(part.grad is None or part.grad.isfinite().all() for part in start)
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


@pytest.mark.parametrize("init", ["xavier", "orthogonal"])
def test_it_starts_as_documented(init: str) -> None:
    """Xavier normal: a deviation of sqrt(2 / (columns + rows)); the others U(-1/sqrt(columns))."""
    torch.manual_seed(0)
    cell = MemRNN(200, 300, init=init)

    assert cell.input.weight.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.05)
    assert cell.scores.score.std().item() == pytest.approx((2 / 301) ** 0.5, rel=0.2)
    assert cell.input.bias.abs().max().item() == pytest.approx(200**-0.5, rel=0.05)
    for weight in (cell.scores.key.weight, cell.scores.query.weight):
        assert weight.abs().max().item() == pytest.approx(300**-0.5, rel=0.01)
    v = cell.recurrent.weight
    if init == "orthogonal":
        torch.testing.assert_close(v @ v.t(), torch.eye(300), atol=1e-5, rtol=0)
    else:
        assert v.std().item() == pytest.approx((2 / 600) ** 0.5, rel=0.05)
        assert v.abs().max() > 2 * (6 / 600) ** 0.5, "normal, not uniform"


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(MemRNN(x, h)) == h * x + h + 3 * h * h + h


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"nonlinearity": "modrelu"}, "nonlinearity must be one of tanh, relu"),
        ({"tape": -1}, "tape must be a whole number of at least 0"),
        ({"init": "henaff"}, "init must be one of xavier, orthogonal"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(wrong, said) -> None:
    with pytest.raises(OptionError, match=said):
        MemRNN(3, 8, **wrong)
