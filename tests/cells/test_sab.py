import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from torch import Tensor, nn

from cellbench.cells.lstm import LSTM
from cellbench.cells.sab import SAB, SABState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll


def random_weights(cell: nn.Module) -> dict[str, Tensor]:
    return {
        name: draw(*weight.shape, seed=10 + n).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }


def reminded(weights, q, store: list[Tensor], top: int) -> Tensor:
    """Return s of a sequence: sort the scores, and keep to Python's numbers of entries."""
    v, k, w_q = (weights[f"scores.{name}"] for name in ("score", "key.weight", "query.weight"))
    if not store:
        return torch.zeros_like(q)
    if len(store) <= top:
        return sum(store) / len(store)
    scores = [v[0] @ torch.tanh(k @ m + w_q @ q) for m in store]
    order = sorted(range(len(store)), key=lambda j: -scores[j].item())
    least = scores[order[top]]
    over = [scores[j] - least for j in order[:top]]
    return sum(o * store[j] for o, j in zip(over, order, strict=False)) / sum(over)


def written_out(weights, x, state, *, steps: int, every: int, top: int, tape: int):
    """Write the paper's formula out again, with lists: a sequence at a time."""
    w_x, w_h = (weights[name].chunk(4) for name in ("weight_x", "weight_h"))
    sequences = []
    for b in range(x.shape[1]):
        h, c, store, outputs = state[0][b], state[1][b], list(state[2][b]), []
        for t, x_t in enumerate(x[:, b]):
            gates = [w_x[n] @ x_t + w_h[n] @ h + weights["bias"].chunk(4)[n] for n in range(4)]
            c = gates[1].sigmoid() * c + gates[0].sigmoid() * gates[3].tanh()
            q = gates[2].sigmoid() * c.tanh()
            s = reminded(weights, q, store, top)
            h = q + s
            w_h_y, w_s_y = weights["output.weight"].split(5, dim=1)
            outputs.append(w_h_y @ h + w_s_y @ s + weights["output.bias"])
            if (steps + t + 1) % every == 0:
                store.append(h)
                store = store[-tape:]
        sequences.append((torch.stack(outputs), h, c, torch.stack(store)))
    y, h, c, store = map(torch.stack, zip(*sequences, strict=True))
    return y.transpose(0, 1), (h, c, store)


@pytest.mark.parametrize(
    ("every", "top", "tape", "stored"),
    [
        *((1, 1, 0, 0), (1, 5, 0, 3), (2, 2, 0, 3), (3, 1, 0, 4)),
        *((1, 2, 3, 2), (2, 3, 5, 4), (3, 1, 4, 4)),
    ],
    ids=str,
)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time, every, top, tape, stored) -> None:
    """From a store that is empty, full, or partly free; and on past the end of a bounded one.

    A step was made since something was last stored, if there are steps in between.
    """
    if stored == 0 and every > time:
        return
    cell = SAB(3, 5, every=every, top=top, tape=tape).double()
    weights = random_weights(cell)
    steps = stored * every + (every > 1)

    def ours(x, state):
        h, c, store = state
        keys = store @ weights["scores.key.weight"].t()
        parts = (store, keys, store.new_ones(*store.shape[:2], 1))
        free = [0, 0, tape - stored, 0] if tape else [0, 0, 0, 0]
        store, keys, filled = (nn.functional.pad(part, free) for part in parts)
        waited = h.new_ones(2, int(every > 1 and not tape))
        count = torch.full((2,), steps)
        start = SABState(h, c, store, keys, filled.squeeze(-1), waited, count)
        y, last = with_weights(cell, weights)(x, start)
        seen = (steps + time) // every
        seen = min(seen, tape) if tape else seen
        assert last.filled.sum(1).tolist() == [seen] * 2
        assert last.steps.tolist() == [steps + time] * 2
        return y, (last.h, last.c, last.stored[:, -seen:])

    def theirs(x, state):
        return written_out(weights, x, state, steps=steps, every=every, top=top, tape=tape)

    assert_same(
        ours,
        theirs,
        draw(time, 2, 3),
        [draw(2, 5, seed=1), draw(2, 5, seed=2), draw(2, stored, 5, seed=3)],
        weights.values(),
        cell="sab",
        against=FORMULAS,
    )


def by_hand(*, top: int, tape: int) -> tuple[SAB, SABState]:
    """Set the weights of the test below."""
    cell = SAB(1, 1, top=top, tape=tape).double()
    for name, value in {
        "weight_x": [1, -1, 0, 1 / 2],
        "weight_h": [1, 1, -1, 1 / 4],
        "bias": [-2, -1, 1, -1 / 2],
        "scores.key.weight": [3 / LN_3],
        "scores.query.weight": [4],
        "scores.score": [8 / LN_3],
        "output.weight": [2 / LN_3, 4 / LN_3],
        "output.bias": [-1 / LN_3],
    }.items():
        parameter = cell.get_parameter(name)
        parameter.data = LN_3 * torch.tensor(value).double().view(parameter.shape)
    start = SABState(
        h=torch.tensor([[2.0]]).double(),
        c=torch.tensor([[LN_3 - 3 / 4]]).double(),
        stored=torch.tensor([[[5.0], [1.0], [3.0]]]).double(),
        keys=LN_3 * torch.tensor([[[-1 / 2], [0.0], [-1.0]]]).double(),
        filled=torch.ones(1, 3).double(),
        since=torch.zeros(1, 0).double(),
        steps=torch.tensor([3]),
    )
    return cell, start


@pytest.mark.parametrize("tape", [0, 3])
def test_one_step_by_hand(tape: int) -> None:
    """x = 1, h = 2, c = ln 3 - 3/4. In units of ln 3, over x, h, 1:

    i:  1  + 2   - 2   =  1     sigmoid 3/4
    f: -1  + 2   - 1   =  0     sigmoid 1/2
    o:  0  - 2   + 1   = -1     sigmoid 1/4
    g: 1/2 + 1/2 - 1/2 = 1/2    tanh    1/2

    c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2, q = 1/4 * 1/2 = 1/8, query 4 ln 3 q = ln 3 / 2

    m = 5, 1, 3 with keys -ln 3 / 2, 0, -ln 3; key + query = 0, ln 3 / 2, -ln 3 / 2;
    tanh = 0, 1/2, -1/2; a = 8 tanh = 0, 4, -4. With top = 2, a_top = -4:
    w = 4, 8, 0; s = (4 * 5 + 8 * 1) / 12 = 7/3; h = 1/8 + 7/3, y = 2 h + 4 s - 1
    """
    cell, start = by_hand(top=2, tape=tape)

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), start)

    h = 1 / 8 + 7 / 3
    assert y.item() == pytest.approx(2 * h + 28 / 3 - 1)
    assert (last.h.item(), last.c.item()) == pytest.approx((h, LN_3 / 2))
    torch.testing.assert_close(last.stored.flatten().tolist(), [5.0, 1.0, 3.0, h][-tape:])
    torch.testing.assert_close(last.keys.flatten().tolist()[-1], 3 * h)
    assert last.steps.item() == 4


def test_each_weighs_the_same_in_a_store_of_at_most_top() -> None:
    """As above, but s = (5 + 1 + 3) / 3 = 3."""
    cell, start = by_hand(top=3, tape=0)

    y, last = unroll(cell, torch.ones(1, 1, 1).double(), start)

    assert last.h.item() == pytest.approx(25 / 8)
    assert y.item() == pytest.approx(2 * 25 / 8 + 12 - 1)


def test_weights_are_top_in_number_and_sum_to_1() -> None:
    torch.manual_seed(0)
    cell = SAB(3, 5, top=3)
    filled = torch.ones(2, 9)
    filled[0, :4] = 0
    filled[1, :7] = 0
    w = cell._sparse(torch.randn(2, 9), filled)  # noqa: SLF001 -- the weights leave no other trace

    assert (w != 0).sum(1).tolist() == [3, 2]
    assert not (w * (1 - filled)).any()
    torch.testing.assert_close(w.sum(1), torch.ones(2))
    torch.testing.assert_close(w[1, 7:], torch.full((2,), 1 / 2))


def test_what_it_is_reminded_of_depends_on_the_state() -> None:
    """In its authors' code it does not: there, no state changes a difference of two scores."""
    torch.manual_seed(0)
    cell = SAB(3, 5, top=2).double()
    keys, filled = draw(1, 6, 5), torch.ones(1, 6).double()
    w = [
        cell._sparse(cell.scores(keys, 3 * draw(1, 5, seed=seed)), filled)  # noqa: SLF001 -- as above
        for seed in range(8)
    ]

    assert len({tuple((weights != 0).flatten().tolist()) for weights in w}) > 1


def test_scores_that_are_all_equal_harm_no_gradient() -> None:
    cell = SAB(3, 5, top=2)
    nn.init.zeros_(cell.scores.score)
    y, last = unroll(cell, torch.randn(6, 2, 3))
    y.sum().backward()

    assert last.h.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


def test_free_entries_harm_no_gradient_in_float32() -> None:
    """How far scores are above that of a free entry is near the largest number there is."""
    cell = SAB(3, 5, top=3, tape=6)
    y, _ = unroll(cell, torch.randn(4, 2, 3))
    y.sum().backward()

    assert y.isfinite().all()
    for parameter in (cell.weight_x, cell.weight_h, cell.output.weight):
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_with_nothing_stored_it_is_an_lstm() -> None:
    """Its output layer apart, for as many steps as there are before the first is stored."""
    torch.manual_seed(0)
    cell, lstm = SAB(3, 5, every=4).double(), LSTM(3, 5).double()
    for ours, theirs in (("weight_x", "weight_ih"), ("weight_h", "weight_hh")):
        i, f, g, o = lstm.get_parameter(theirs).chunk(4)
        cell.get_parameter(ours).data = torch.cat([i, f, o, g])
    i, f, g, o = (lstm.bias_ih + lstm.bias_hh).chunk(4)
    cell.bias.data = torch.cat([i, f, o, g])
    cell.output.weight.data = torch.eye(5, 10).double()
    cell.output.bias.data.zero_()
    x = draw(5, 2, 3)

    torch.testing.assert_close(unroll(cell, x[:4])[0], unroll(lstm, x[:4])[0])
    assert not torch.allclose(unroll(cell, x)[0][4], unroll(lstm, x)[0][4])


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_tape_that_is_long_enough_is_as_good_as_one_that_grows(every: int) -> None:
    torch.manual_seed(0)
    grows, bounded = (SAB(3, 5, every=every, top=2, tape=tape).double() for tape in (0, 9))
    bounded.load_state_dict(grows.state_dict())
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(bounded, x)[0], unroll(grows, x)[0])
    assert grows.grows
    assert not bounded.grows
    assert unroll(grows, x)[1].stored.shape[1] == 9 // every


@pytest.mark.parametrize("tape", [0, 7])
def test_an_empty_store_reads_as_zero_and_harms_no_gradient(tape: int) -> None:
    cell = SAB(3, 5, tape=tape)
    start = cell.initial_state(2)
    y, _ = stepwise(cell, cell.project(torch.randn(2, 2, 3)), start)
    y.sum().backward()

    assert all(
        parameter.grad is None or parameter.grad.isfinite().all() for parameter in cell.parameters()
    )


def test_truncating_cuts_gradients_and_no_value() -> None:
    """Of 5 steps with truncate = 3, no gradient goes from step 3 back to step 2, but by memory."""
    torch.manual_seed(0)
    whole, cut = SAB(3, 5, every=2).double(), SAB(3, 5, every=2, truncate=3).double()
    cut.load_state_dict(whole.state_dict())
    x = draw(5, 2, 3).requires_grad_()

    def gradient(cell: SAB, at: int) -> list[float]:
        y, _ = unroll(cell, x)
        return torch.autograd.grad(y[at].sum(), x)[0].abs().sum((1, 2)).tolist()

    torch.testing.assert_close(unroll(cut, x)[0], unroll(whole, x)[0])
    assert gradient(cut, 1) == gradient(whole, 1), "before the first cut"
    assert all(gradient(whole, 4))
    # What was stored after step 2 is what step 5 is reminded of: back to it, and to the step
    # before, goes a gradient; it comes by way of memory only.
    assert gradient(cut, 4) != gradient(whole, 4)
    assert all(gradient(cut, 4))
    never = SAB(3, 5, every=9, truncate=3).double()
    never.load_state_dict(whole.state_dict())
    assert [value > 0 for value in gradient(never, 4)] == [False, False, True, True, True]
    assert [value > 0 for value in gradient(never, 1)] == [True, True, False, False, False]


def test_it_starts_as_documented() -> None:
    """U(-1 / sqrt(H), 1 / sqrt(H)), and for the output layer 1 / sqrt(2 H)."""
    cell = SAB(30, 50)
    for parameter in (cell.weight_x, cell.weight_h, cell.bias):
        for bound in (parameter.max(), -parameter.min()):
            assert bound.item() == pytest.approx(50**-0.5, rel=0.05)
            assert bound.item() <= 50**-0.5
    assert cell.output.weight.abs().max().item() == pytest.approx(0.1, rel=0.05)
    assert (cell.every, cell.top, cell.truncate) == (1, 5, 0)


def test_parameter_count() -> None:
    x, h = 7, 11
    lstm, scores, output = 4 * h * (x + h) + 4 * h, 2 * h * h + h, 2 * h * h + h

    assert parameter_count(SAB(x, h)) == lstm + scores + output


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"every": 0}, "every must be a whole number of at least 1"),
        ({"top": 0}, "top must be a whole number of at least 1"),
        ({"tape": -1}, "tape must be a whole number of at least 0"),
        ({"tape": 5}, "tape must be 0 or more than top, but tape is 5 and top 5"),
        ({"tape": 1, "top": 1}, "tape must be 0 or more than top, but tape is 1 and top 1"),
        ({"truncate": -1}, "truncate must be a whole number of at least 0"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(wrong, said) -> None:
    with pytest.raises(OptionError, match=said):
        SAB(3, 8, **wrong)
