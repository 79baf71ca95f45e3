import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from relevance_by_row import by_row
from torch import Tensor, nn

from cellbench.cells.lstm import LSTM
from cellbench.cells.rellstm import RelLSTM, RelLSTMState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll


def random_weights(cell: nn.Module) -> dict[str, Tensor]:
    return {
        name: draw(*weight.shape, seed=10 + n).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }


def written_out(weights, x, state, *, recent: int, relevant: int):
    """Write the paper's formula out again, with lists: a sequence at a time."""
    w_x, w_h = (weights[name].chunk(4) for name in ("weight_x", "weight_h"))

    def output(x_t, s, c):
        i, f, o, g = (w_x[n] @ x_t + w_h[n] @ s + weights["bias"].chunk(4)[n] for n in range(4))
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    *state, c = state
    return by_row(weights, x, state, recent=recent, relevant=relevant, output=output, rest=c)


@pytest.mark.parametrize(("recent", "relevant"), [(1, 1), (2, 3), (3, 2), (10, 10)], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time, recent, relevant) -> None:
    """From a memory that is full, and one with free places; both in one batch."""
    cell = RelLSTM(3, 5, recent=recent, relevant=relevant).double()
    weights = random_weights(cell)
    entries = recent + relevant
    filled = torch.ones(2, entries).double()
    filled[1, relevant - 1 : entries - 1] = 0
    relevance = draw(2, entries, seed=3).abs() * filled

    def ours(x, state):
        h, s, c = state
        h = h * filled.unsqueeze(-1)
        keys = h @ weights["scores.key.weight"].t()
        y, last = with_weights(cell, weights)(x, RelLSTMState(h, keys, filled, relevance, s, c))
        torch.testing.assert_close(last.keys, last.h @ weights["scores.key.weight"].t())
        return y, (last.h, last.filled, last.relevance, last.s, last.c)

    def theirs(x, state):
        h, s, c = state
        start = (h * filled.unsqueeze(-1), filled, relevance, s, c)
        return written_out(weights, x, start, recent=recent, relevant=relevant)

    assert_same(
        ours,
        theirs,
        draw(time, 2, 3),
        [draw(2, entries, 5, seed=1), draw(2, 5, seed=2), draw(2, 5, seed=4)],
        weights.values(),
        cell="rellstm",
        against=FORMULAS,
    )


def test_one_step_by_hand() -> None:
    """Buffer and set of one: h = (1, 5/3), keys K h = (ln 3, 0); s = 2, c = ln 3 - 3/4, x = 1.

    query ln 3 / -4 * 2 = -ln 3 / 2; key + query = (ln 3 / 2, -ln 3 / 2); tanh = (1/2, -1/2)
    v = ln 3: a = (ln 3 / 2, -ln 3 / 2), p = (3/4, 1/4), read 3/4 + 5/12 = 7/6
    s = (5/3 + 7/6) / 2 = 17/12. In units of ln 3, over s, x, b:

    i:  12/17 s = 1   + 1   - 1   =  1     sigmoid 3/4
    f: -12/17 s = -1  + 0   + 1   =  0     sigmoid 1/2
    o:  0             - 2   + 1   = -1     sigmoid 1/4
    g:  12/17 s = 1   - 1/4 - 1/4 = 1/2    tanh    1/2

    c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2, h = 1/4 * 1/2 = 1/8, with key -3 * 1/8
    """
    cell = RelLSTM(1, 1, recent=1, relevant=1).double()
    for name, value in {
        "weight_h": [12 / 17, -12 / 17, 0, 12 / 17],
        "weight_x": [1, 0, -2, -1 / 4],
        "bias": [-1, 1, 1, -1 / 4],
        "scores.key.weight": [-3 / LN_3],
        "scores.query.weight": [-1 / 4],
        "scores.score": [1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = LN_3 * torch.tensor(value).double().view(parameter.shape)
    start = RelLSTMState(
        h=torch.tensor([[[1.0], [5 / 3]]]).double(),
        keys=torch.tensor([[[LN_3], [0.0]]]).double(),
        filled=torch.ones(1, 2).double(),
        relevance=torch.tensor([[1 / 3, 1 / 8]]).double(),
        s=torch.tensor([[2.0]]).double(),
        c=torch.tensor([[LN_3 - 3 / 4]]).double(),
    )

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), start)

    assert y.item() == pytest.approx(1 / 8)
    torch.testing.assert_close(last.h.flatten().tolist(), [5 / 3, 1 / 8])
    torch.testing.assert_close(last.keys.flatten().tolist(), [0.0, -3 / 8])
    torch.testing.assert_close(last.relevance.flatten().tolist(), [3 / 8, 0.0])
    assert last.filled.tolist() == [[1, 1]]
    assert last.s.item() == pytest.approx(17 / 12)
    assert last.c.item() == pytest.approx(LN_3 / 2)


def test_with_one_entry_to_attend_to_it_is_an_lstm() -> None:
    """For two steps: at the second, the memory has the first only, and s = h."""
    torch.manual_seed(0)
    cell, lstm = RelLSTM(3, 5).double(), LSTM(3, 5).double()
    for ours, theirs in (("weight_x", "weight_ih"), ("weight_h", "weight_hh")):
        i, f, g, o = lstm.get_parameter(theirs).chunk(4)
        cell.get_parameter(ours).data = torch.cat([i, f, o, g])
    i, f, g, o = (lstm.bias_ih + lstm.bias_hh).chunk(4)
    cell.bias.data = torch.cat([i, f, o, g])
    x = draw(3, 2, 3)

    torch.testing.assert_close(unroll(cell, x[:2])[0], unroll(lstm, x[:2])[0])
    assert not torch.allclose(unroll(cell, x)[0][2], unroll(lstm, x)[0][2])


def test_how_the_memory_is_cut_makes_no_difference_while_there_is_room() -> None:
    torch.manual_seed(0)
    buffer, chosen = RelLSTM(3, 5, recent=9, relevant=1), RelLSTM(3, 5, recent=1, relevant=8)
    chosen.load_state_dict(buffer.state_dict())
    x = torch.randn(9, 2, 3)

    torch.testing.assert_close(unroll(chosen, x)[0], unroll(buffer, x)[0])


def test_a_memory_that_is_empty_reads_as_zero_and_harms_no_gradient() -> None:
    cell = RelLSTM(3, 5, recent=2, relevant=2)
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


def test_it_starts_as_documented() -> None:
    """Xavier normal of [W_h, W_x], gate by gate: a deviation of sqrt(2 / (rows + columns))."""
    torch.manual_seed(0)
    cell = RelLSTM(200, 300)

    for weight in (*cell.weight_x.chunk(4), *cell.weight_h.chunk(4)):
        assert weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.03)
    assert cell.weight_x.abs().max() > 2 * (6 / 800) ** 0.5, "normal, not uniform"
    assert not cell.bias.any()
    assert (cell.recent, cell.relevant) == (10, 10)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(RelLSTM(x, h)) == 4 * h * (x + h) + 4 * h + 2 * h * h + h


@pytest.mark.parametrize("name", ["recent", "relevant"])
def test_an_option_it_cannot_take_is_named(name) -> None:
    with pytest.raises(OptionError, match=f"{name} must be a whole number of at least 1"):
        RelLSTM(3, 8, **{name: 0})
