import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from torch import Tensor, nn

from cellbench.cells.lstm import LSTM
from cellbench.cells.lstmn import LSTMN, LSTMNState
from cellbench.unroll import stepwise, unroll


def written_out(weights: dict[str, Tensor], x, state, tape: int):
    """Write the paper's formula out again: a sequence and an entry at a time."""
    sequences = []
    for b in range(x.shape[1]):
        entries = [(state[0][b, j], state[1][b, j]) for j in range(state[0].shape[1])]
        s = state[2][b]
        outputs = []
        for x_t in x[:, b]:
            seen = entries[-tape:] if tape else entries
            scores = [
                weights["score"][0]
                @ torch.tanh(
                    weights["key_h"] @ h + weights["query_x"] @ x_t + weights["query_s"] @ s
                )
                for h, _ in seen
            ]
            s, m = torch.zeros_like(s), torch.zeros_like(s)
            if scores:
                total = sum(score.exp() for score in scores)
                for score, (h, c) in zip(scores, seen, strict=True):
                    s, m = s + score.exp() / total * h, m + score.exp() / total * c
            y = weights["weight_x"] @ x_t + weights["weight_h"] @ s + weights["bias"]
            i, f, g, o = y.view(4, -1)
            c = f.sigmoid() * m + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            entries.append((h, c))
            outputs.append(h)
        last = entries[-tape:] if tape else entries
        h, c = (torch.stack(parts) for parts in zip(*last, strict=True))
        sequences.append((torch.stack(outputs), h, c, s))
    y, h, c, s = zip(*sequences, strict=True)
    return torch.stack(y, 1), (torch.stack(h), torch.stack(c), torch.stack(s))


@pytest.mark.parametrize(("tape", "remembered"), [(0, 0), (0, 2), (3, 0), (3, 3)], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7])
def test_it_is_the_formula_of_the_paper(time: int, tape: int, remembered: int) -> None:
    """From an empty tape, from a full one, and, being bounded, past its end."""
    torch.manual_seed(0)
    cell = LSTMN(3, 5, attention_size=4, tape=tape).double()
    weights = {name: weight.detach() for name, weight in cell.named_parameters()}
    weights["bias"] = draw(20, seed=4)
    for weight in weights.values():
        weight.requires_grad_()

    def ours(x, state):
        h, c, s = state
        filled, keys = h.new_ones(h.shape[:2]), h @ weights["key_h"].t()
        free = [0, 0, tape - remembered, 0] if tape else [0, 0, 0, 0]
        h, c, keys = (nn.functional.pad(part, free) for part in (h, c, keys))
        start = LSTMNState(h, c, keys, nn.functional.pad(filled, free[2:]), s)
        y, last = with_weights(cell, weights)(x, start)
        seen = len(x) + remembered if not tape else min(tape, len(x) + remembered)
        return y, (last.h[:, -seen:], last.c[:, -seen:], last.summary)

    state = [draw(2, remembered, 5, seed=1), draw(2, remembered, 5, seed=2), draw(2, 5, seed=3)]

    def theirs(x, state):
        return written_out(weights, x, state, tape)

    assert_same(
        ours, theirs, draw(time, 2, 3), state, weights.values(), cell="lstmn", against=FORMULAS
    )


def test_one_step_by_hand() -> None:
    """Tape h = (1, 0), c = (4/3 ln 3, -3); V_h = ln 3; x = 1, s = 2; in units of ln 3

    key: (1, 0)    query: -1 + 2/4 = -1/2    sum: (1/2, -1/2)    tanh: (1/2, -1/2)

    v = ln 3  ->  a = (ln 3 / 2, -ln 3 / 2)  ->  p = (3/4, 1/4), s = 3/4, m = ln 3 - 3/4.

    i:  1 + 3/4 (4/3)  - 1    =  1    sigmoid 3/4
    f:  1 + 3/4 (-4/3) + 0    =  0    sigmoid 1/2
    g:  0 + 3/4 (4/3)  - 1/2  = 1/2   tanh    1/2
    o: -2 + 3/4 (0)    + 1    = -1    sigmoid 1/4

    c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2,  h = 1/4 * 1/2 = 1/8, key ln 3 / 8.
    """
    cell = LSTMN(1, 1).double()
    for name, value in {
        "key_h": [1],
        "query_x": [-1],
        "query_s": [1 / 4],
        "score": [1],
        "weight_x": [1, 1, 0, -2],
        "weight_h": [4 / 3, -4 / 3, 4 / 3, 0],
        "bias": [-1, 0, -1 / 2, 1],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = LN_3 * torch.tensor(value).double().view(parameter.shape)
    start = LSTMNState(
        h=torch.tensor([[[1.0], [0.0]]]).double(),
        c=torch.tensor([[[4 / 3 * LN_3], [-3.0]]]).double(),
        keys=torch.tensor([[[LN_3], [0.0]]]).double(),
        filled=torch.ones(1, 2).double(),
        summary=torch.tensor([[2.0]]).double(),
    )

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), start)

    torch.testing.assert_close(y.item(), 1 / 8)
    torch.testing.assert_close(last.h.flatten().tolist(), [1.0, 0.0, 1 / 8])
    torch.testing.assert_close(last.c.flatten().tolist(), [4 / 3 * LN_3, -3.0, LN_3 / 2])
    torch.testing.assert_close(last.keys.flatten().tolist(), [LN_3, 0.0, LN_3 / 8])
    assert last.filled.tolist() == [[1, 1, 1]]
    assert last.summary.item() == pytest.approx(3 / 4)


def test_a_tape_of_one_makes_it_an_lstm() -> None:
    torch.manual_seed(0)
    cell = LSTMN(3, 5, tape=1).double()
    lstm = LSTM(3, 5).double()
    cell.weight_x.data, cell.weight_h.data = lstm.weight_ih.data, lstm.weight_hh.data
    cell.bias.data = (lstm.bias_ih + lstm.bias_hh).data
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(cell, x)[0], unroll(lstm, x)[0])


def test_a_tape_that_is_long_enough_is_as_good_as_one_that_grows() -> None:
    torch.manual_seed(0)
    grows, bounded = LSTMN(3, 5).double(), LSTMN(3, 5, tape=9).double()
    bounded.load_state_dict(grows.state_dict())
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(bounded, x), unroll(grows, x))
    assert grows.grows
    assert not bounded.grows


@pytest.mark.parametrize("tape", [0, 3])
def test_an_empty_tape_reads_as_zero_and_harms_no_gradient(tape: int) -> None:
    cell = LSTMN(3, 5, tape=tape)
    start = cell.initial_state(2)
    for part in start:
        part.requires_grad_()

    y, state = stepwise(cell, cell.project(torch.randn(2, 2, 3)), start)
    y.sum().backward()
    first = unroll(cell, torch.randn(1, 2, 3))[1]

    assert not first.summary.any()
    assert state.h.shape == (2, tape or 2, 5)
    assert all(part.grad.isfinite().all() for part in start)
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


def test_it_starts_as_documented() -> None:
    """Glorot: U(-a, a), where a^2 = 6 / (columns + rows), gate by gate."""
    cell = LSTMN(30, 50, attention_size=40)
    bounds = {
        (30 + 50): [cell.weight_x],
        (50 + 50): [cell.weight_h],
        (50 + 40): [cell.key_h, cell.query_s],
        (30 + 40): [cell.query_x],
        (40 + 1): [cell.score],
    }
    for fans, weights in bounds.items():
        for weight in weights:
            assert weight.abs().max().item() == pytest.approx((6 / fans) ** 0.5, rel=0.15)
            assert weight.abs().max().item() <= (6 / fans) ** 0.5

    assert not cell.bias.any()


@pytest.mark.parametrize(("option", "a"), [(0, 11), (5, 5)])
def test_parameter_count(option: int, a: int) -> None:
    x, h = 7, 11
    cell = LSTMN(x, h, attention_size=option)

    assert parameter_count(cell) == 4 * h * (x + h) + 4 * h + a * (2 * h + x) + a
