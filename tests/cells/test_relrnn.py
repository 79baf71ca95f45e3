import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from relevance_by_row import by_row
from torch import Tensor, nn

from cellbench.cells.memrnn import MemRNN
from cellbench.cells.relrnn import RelRNN, RelRNNState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll


def random_weights(cell: nn.Module) -> dict[str, Tensor]:
    return {
        name: draw(*weight.shape, seed=10 + n).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }


def written_out(weights, x, state, *, recent: int, relevant: int, f):
    """Write the paper's formula out again, with lists: a sequence at a time."""

    def output(x_t, s, rest):
        u = weights["input.weight"] @ x_t + weights["input.bias"]
        return f(weights["recurrent.weight"] @ s + u), rest

    return by_row(weights, x, state, recent=recent, relevant=relevant, output=output)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize(("recent", "relevant"), [(1, 1), (2, 3), (3, 2), (10, 10)], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time, recent, relevant, nonlinearity) -> None:
    """From a memory that is full, and one with free places; both in one batch."""
    cell = RelRNN(3, 5, recent=recent, relevant=relevant, nonlinearity=nonlinearity).double()
    weights = random_weights(cell)
    f = torch.tanh if nonlinearity == "tanh" else lambda v: v.clamp(min=0)
    entries = recent + relevant
    filled = torch.ones(2, entries).double()
    filled[1, relevant - 1 : entries - 1] = 0
    relevance = draw(2, entries, seed=3).abs() * filled

    def ours(x, state):
        h, s = state
        h = h * filled.unsqueeze(-1)
        keys = h @ weights["scores.key.weight"].t()
        y, last = with_weights(cell, weights)(x, RelRNNState(h, keys, filled, relevance, s))
        torch.testing.assert_close(last.keys, last.h @ weights["scores.key.weight"].t())
        assert not last.relevance.requires_grad
        return y, (last.h, last.s, last.filled, last.relevance)

    def theirs(x, state):
        h, s = state
        start = (h * filled.unsqueeze(-1), filled, relevance, s)
        y, (h, filled_last, relevance_last, s) = written_out(
            weights, x, start, recent=recent, relevant=relevant, f=f
        )
        return y, (h, s, filled_last, relevance_last)

    assert_same(
        ours,
        theirs,
        draw(time, 2, 3),
        [draw(2, entries, 5, seed=1), draw(2, 5, seed=2)],
        weights.values(),
        cell="relrnn",
        against=FORMULAS,
    )


def start_by_hand(relevance: list[float], filled: list[float]) -> tuple[RelRNN, RelRNNState]:
    """Two relevant places and a buffer of two; all of h is 1, 2, 3, 4, and no key differs."""
    cell = RelRNN(1, 1, recent=2, relevant=2).double()
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(cell.input.bias, LN_3 / 2)  # h = 1/2
    h = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]]).double()
    marks = torch.tensor([filled]).double()
    state = RelRNNState(
        h * marks.unsqueeze(-1),
        0 * h,
        marks,
        torch.tensor([relevance]).double(),
        torch.zeros(1, 1).double(),
    )
    return cell, state


@pytest.mark.parametrize(
    ("relevance", "filled", "h", "after"),
    [
        # Attention is 1/4 to each of four: the oldest of the buffer, 3, has 1/2 + 1/4 now.
        ([0.7, 0.8, 0.5, 0.1], [1, 1, 1, 1], [3, 2, 4, 0.5], [0.75, 0.8, 0.35, 0]),
        ([0.9, 0.7, 0.5, 0.1], [1, 1, 1, 1], [1, 3, 4, 0.5], [0.9, 0.75, 0.35, 0]),
        ([0.9, 0.8, 0.5, 0.1], [1, 1, 1, 1], [1, 2, 4, 0.5], [0.9, 0.8, 0.35, 0]),
        # No greater is not greater.
        ([0.9, 0.75, 0.5, 0.1], [1, 1, 1, 1], [1, 2, 4, 0.5], [0.9, 0.75, 0.35, 0]),
        # Of three, 1/3 each: a free place comes first, however little relevant.
        ([0.2, 0.0, 0.1, 0.0], [1, 0, 1, 1], [1, 3, 4, 0.5], [0.2, 0.1 + 1 / 3, 1 / 3, 0]),
        # The buffer is not full: nothing leaves it.
        ([0.0, 0.0, 0.0, 0.1], [0, 0, 0, 1], [0, 0, 4, 0.5], [0, 0, 1.1, 0]),
    ],
    ids=["the-first-goes", "the-second-goes", "none-goes", "equal", "a-free-place", "not-full"],
)
def test_what_is_kept_by_hand(relevance, filled, h, after) -> None:
    cell, start = start_by_hand(relevance, filled)

    y, last = unroll(cell, torch.zeros(1, 1, 1).double(), start)

    torch.testing.assert_close(last.h.flatten().tolist(), [float(value) for value in h])
    torch.testing.assert_close(last.relevance[0].tolist(), [float(value) for value in after])
    assert last.filled[0].tolist() == [float(value > 0) for value in h]
    assert y.item() == pytest.approx(1 / 2)
    read = sum(n * mark for n, mark in zip((1, 2, 3, 4), filled, strict=True)) / sum(filled)
    assert last.s.item() == pytest.approx((4 + read) / 2)


def test_one_step_by_hand() -> None:
    """Buffer and set of one: h = (1, 5), with keys K h = (ln 3, 0); s = 2, x = 1.

    query ln 3 / -4 * 2 = -ln 3 / 2; key + query = (ln 3 / 2, -ln 3 / 2); tanh = (1/2, -1/2)
    v = ln 3: a = (ln 3 / 2, -ln 3 / 2), p = (3/4, 1/4), read 3/4 + 5/4 = 2
    s = (5 + 2) / 2 = 7/2;  V s = ln 3 / 7 * 7/2 = ln 3 / 2; U x + b = 2 ln 3 - 2 ln 3
    h = tanh(ln 3 / 2) = 1/2, with key -3 * 1/2

    5 was in the buffer, and has relevance 1/8 + 1/4 = 3/8 > 1/3, so it takes the place of 1.
    """
    cell = RelRNN(1, 1, recent=1, relevant=1).double()
    for name, value in {
        "input.weight": 2 * LN_3,
        "input.bias": -2 * LN_3,
        "recurrent.weight": LN_3 / 7,
        "scores.key.weight": -3.0,
        "scores.query.weight": -LN_3 / 4,
        "scores.score": LN_3,
    }.items():
        nn.init.constant_(cell.get_parameter(name), value)
    start = RelRNNState(
        h=torch.tensor([[[1.0], [5.0]]]).double(),
        keys=torch.tensor([[[LN_3], [0.0]]]).double(),
        filled=torch.ones(1, 2).double(),
        relevance=torch.tensor([[1 / 3, 1 / 8]]).double(),
        s=torch.tensor([[2.0]]).double(),
    )

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(1 / 2)
    torch.testing.assert_close(last.h.flatten().tolist(), [5.0, 0.5])
    torch.testing.assert_close(last.keys.flatten().tolist(), [0.0, -1.5])
    torch.testing.assert_close(last.relevance.flatten().tolist(), [3 / 8, 0.0])
    assert last.filled.tolist() == [[1, 1]]
    assert last.s.item() == pytest.approx(7 / 2)


def test_with_a_buffer_of_all_steps_it_is_memrnn() -> None:
    torch.manual_seed(0)
    all_of_it, relevant = MemRNN(3, 5).double(), RelRNN(3, 5, recent=9, relevant=2).double()
    relevant.load_state_dict(all_of_it.state_dict())
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(relevant, x)[0], unroll(all_of_it, x)[0])
    assert not torch.allclose(
        unroll(relevant, draw(14, 2, 3))[0], unroll(all_of_it, draw(14, 2, 3))[0]
    )


def test_a_set_with_room_for_all_makes_it_memrnn_too() -> None:
    """What leaves the buffer has a place, and is attended to there."""
    torch.manual_seed(0)
    all_of_it, relevant = MemRNN(3, 5).double(), RelRNN(3, 5, recent=2, relevant=7).double()
    relevant.load_state_dict(all_of_it.state_dict())
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(relevant, x)[0], unroll(all_of_it, x)[0])


def test_a_memory_that_is_empty_reads_as_zero_and_harms_no_gradient() -> None:
    cell = RelRNN(3, 5, recent=2, relevant=2)
    start = cell.initial_state(2)
    for part in start:
        part.requires_grad_()

    y, _ = stepwise(cell, cell.project(torch.randn(4, 2, 3)), start)
    y.sum().backward()

    first = unroll(cell, torch.randn(1, 2, 3))[1]
    assert not first.s.any()
    assert not first.relevance.any()
    assert all(part.grad is None or part.grad.isfinite().all() for part in start)
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


@pytest.mark.parametrize("init", ["xavier", "orthogonal"])
def test_it_starts_as_documented(init: str) -> None:
    torch.manual_seed(0)
    cell = RelRNN(200, 300, init=init)

    assert cell.input.weight.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.05)
    assert cell.scores.score.std().item() == pytest.approx((2 / 301) ** 0.5, rel=0.2)
    v = cell.recurrent.weight
    if init == "orthogonal":
        torch.testing.assert_close(v @ v.t(), torch.eye(300), atol=1e-5, rtol=0)
    else:
        assert v.std().item() == pytest.approx((2 / 600) ** 0.5, rel=0.05)
        assert v.abs().max() > 2 * (6 / 600) ** 0.5, "normal, not uniform"
    assert (cell.recent, cell.relevant) == (10, 10)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(RelRNN(x, h)) == h * x + h + 3 * h * h + h


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"recent": 0}, "recent must be a whole number of at least 1"),
        ({"relevant": 0}, "relevant must be a whole number of at least 1"),
        ({"nonlinearity": "modrelu"}, "nonlinearity must be one of tanh, relu"),
        ({"init": "henaff"}, "init must be one of xavier, orthogonal"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(wrong, said) -> None:
    with pytest.raises(OptionError, match=said):
        RelRNN(3, 8, **wrong)
