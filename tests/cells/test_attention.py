import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from torch import Tensor, nn

from cellbench.cells.attention import Attention, AttentionState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

each_form = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


def random_weights(cell: Attention) -> dict[str, Tensor]:
    return {
        name: draw(*weight.shape, seed=10 + n).requires_grad_()
        for n, (name, weight) in enumerate(cell.named_parameters())
    }


def turned(pair: Tensor, angle: float) -> Tensor:
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return torch.tensor(turn, dtype=pair.dtype) @ pair


def placed(v: Tensor, at: int, rotary: bool) -> Tensor:  # noqa: FBT001 -- short
    """Turn one head's query or key, pair by pair, with a matrix of its own for each."""
    if not rotary:
        return v
    d = len(v)
    pairs = [turned(v[j : j + 2], at / 10000 ** (j / d)) for j in range(0, d - 1, 2)]
    return torch.cat([*pairs, v[d - d % 2 :]])


def written_out(weights, x, state, steps: int, *, heads: int, rotary: bool, tape: int):
    """Write the paper's formula out again: a sequence, a head and an entry at a time."""
    w_q, w_k, w_v = weights["weight_x"].chunk(3)
    b_q, b_k, b_v = weights["bias"].chunk(3)
    outputs = torch.zeros(len(x), x.shape[1], len(w_q), dtype=x.dtype)
    rows = []
    for b in range(x.shape[1]):
        keys, values, by_time = list(state[0][b]), list(state[1][b]), []
        for t, x_t in enumerate(x[:, b]):
            q, k = w_q @ x_t + b_q, w_k @ x_t + b_k
            keys.append(torch.cat([placed(part, steps + t, rotary) for part in k.chunk(heads)]))
            values.append(w_v @ x_t + b_v)
            keys, values = keys[-tape:], values[-tape:]
            read = []
            for n, q_n in enumerate(q.chunk(heads)):
                d = len(q_n)
                asked = placed(q_n, steps + t, rotary)
                weight = [
                    torch.exp((asked * key[n * d : (n + 1) * d]).sum() / d**0.5) for key in keys
                ]
                mean = sum(w * v[n * d : (n + 1) * d] for w, v in zip(weight, values, strict=True))
                read.append(mean / sum(weight))
            by_time.append(weights["output.weight"] @ torch.cat(read) + weights["output.bias"])
        outputs = torch.stack(by_time)
        rows.append((outputs, torch.stack(keys), torch.stack(values)))
    y, keys, values = zip(*rows, strict=True)
    return torch.stack(y, 1), (torch.stack(keys), torch.stack(values))


@each_form
@pytest.mark.parametrize("positions", ["rotary", "none"])
@pytest.mark.parametrize(("tape", "remembered"), [(0, 0), (0, 3), (4, 0), (4, 2), (4, 4)], ids=str)
@pytest.mark.parametrize("time", [1, 2, 7])
def test_it_is_the_formula_of_the_paper(
    *, time: int, tape: int, remembered: int, positions: str, parallel: bool
) -> None:
    """From an empty tape, from a part of one, from a full one; with an odd size of heads."""
    cell = Attention(3, 10, heads=2, positions=positions, tape=tape).double()
    weights = random_weights(cell)

    def ours(x, state):
        free = [0, 0, tape - remembered, 0] if tape else [0, 0, 0, 0]
        keys, values = (nn.functional.pad(part, free) for part in state)
        start = AttentionState(keys, values, torch.full((2,), remembered))
        y, last = with_weights(cell, weights, parallel=parallel)(x, start)
        assert last.steps.tolist() == [remembered + time] * 2
        seen = remembered + time if not tape else min(tape, remembered + time)
        return y, (last.keys[:, -seen:], last.values[:, -seen:])

    def theirs(x, state):
        rotary = positions == "rotary"
        return written_out(weights, x, state, remembered, heads=2, rotary=rotary, tape=tape)

    state = [draw(2, remembered, 10, seed=1), draw(2, remembered, 10, seed=2)]
    assert_same(
        ours, theirs, draw(time, 2, 3), state, weights.values(), cell="attention", against=FORMULAS
    )


@each_form
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_torch(*, time: int, parallel: bool) -> None:
    """The tape has the keys and values of five inputs that came before."""
    torch.manual_seed(0)
    cell = Attention(12, 12, heads=3, positions="none").double()
    theirs = nn.MultiheadAttention(12, 3, dtype=torch.float64)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    weights = {
        "weight_x": theirs.in_proj_weight,
        "bias": theirs.in_proj_bias,
        "output.weight": theirs.out_proj.weight,
        "output.bias": theirs.out_proj.bias,
    }
    later = torch.ones(time, 5 + time).triu(6).bool()

    def tape(x):
        entries = nn.functional.linear(x, theirs.in_proj_weight, theirs.in_proj_bias)
        return entries.transpose(0, 1).chunk(3, dim=-1)[1:]

    def ours(x, state):
        start = AttentionState(*tape(state[0]), torch.full((2,), 5))
        y, last = with_weights(cell, weights, parallel=parallel)(x, start)
        return y, last[:2]

    def right(x, state):
        everything = torch.cat([state[0], x])
        y, _ = theirs(x, everything, everything, attn_mask=later)  # weights: not the fused form
        return y, tape(everything)

    assert_same(
        ours,
        right,
        draw(time, 2, 12),
        [draw(5, 2, 12, seed=1)],
        weights.values(),
        cell="attention",
        against="torch: nn.MultiheadAttention",
    )


def by_hand(name: str, value: list[float], cell: Attention) -> None:
    parameter = cell.get_parameter(name)
    parameter.data = torch.tensor(value).double().view(parameter.shape)


@each_form
def test_two_steps_by_hand(*, parallel: bool) -> None:
    """x = 1, then 2; one head of one feature, whose scores are divided by 1.

    q = ln 3 x - ln 3, k = x - 2, v = 4 x + 1, y = 2 o - 1

    x = 1: q = 0, alone on the tape:        o = v = 5,                         y = 9
    x = 2: q = ln 3, k = -1, 0, a = -ln 3, 0, p = 1/4, 3/4:
           o = 1/4 * 5 + 3/4 * 9 = 8,                                          y = 15
    """
    cell = Attention(1, 1, heads=1).double()
    by_hand("weight_x", [LN_3, 1, 4], cell)
    by_hand("bias", [-LN_3, -2, 1], cell)
    by_hand("output.weight", [2], cell)
    by_hand("output.bias", [-1], cell)
    x = torch.tensor([1.0, 2.0]).double().view(2, 1, 1)
    form = cell.parallel if parallel else lambda p, state: stepwise(cell, p, state)

    y, last = form(cell.project(x), cell.initial_state(1))

    torch.testing.assert_close(y.flatten().tolist(), [9.0, 15.0])
    assert last.keys.flatten().tolist() == [-1, 0]
    assert last.values.flatten().tolist() == [5, 9]
    assert last.steps.tolist() == [2]


def test_a_turn_by_hand() -> None:
    """One head of five features: frequencies 1 and 10000^(-2/5), a feature that stays; R_3 q."""
    cell = Attention(5, 5, heads=1).double()
    features = torch.tensor([2.0, 0.0, 0.0, 3.0, 5.0]).double().view(1, 1, 5)

    found = cell._turn(features, torch.tensor([[3]]))  # noqa: SLF001 -- as a map

    first, second = 3.0, 3.0 * 0.025118864315095794
    expected = [
        2 * math.cos(first), 2 * math.sin(first), -3 * math.sin(second), 3 * math.cos(second), 5.0,
    ]  # fmt: skip
    torch.testing.assert_close(found.flatten().tolist(), expected)


def test_a_score_is_divided_by_the_root_of_the_size_of_a_head() -> None:
    """d = 4, q = (2 ln 3, 0, 0, 0), keys (1, 0, 0, 0) and 0: a = ln 3, 0 and p = 3/4, 1/4."""
    cell = Attention(1, 4, heads=1, positions="none").double()
    nn.init.zeros_(cell.weight_x)
    by_hand("bias", [2 * LN_3, 0, 0, 0] + [0] * 8, cell)
    cell.output.weight.data = torch.eye(4).double()
    keys = torch.tensor([[[1.0, 0, 0, 0]]]).double()
    values = torch.tensor([[[4.0, 0, 0, 0]]]).double()

    y, _ = cell.step(
        cell.project(draw(1, 1, 1))[0], AttentionState(keys, values, torch.tensor([1]))
    )

    torch.testing.assert_close(y, torch.tensor([[3.0, 0, 0, 0]]).double())


def test_only_how_far_back_counts_with_rotary_positions() -> None:
    torch.manual_seed(0)
    cell = Attention(3, 8).double()
    x = draw(6, 2, 3)
    early, late = cell.initial_state(2), cell.initial_state(2)._replace(steps=torch.tensor([7, 90]))

    torch.testing.assert_close(
        stepwise(cell, cell.project(x), early)[0], stepwise(cell, cell.project(x), late)[0]
    )


@pytest.mark.parametrize(("positions", "same"), [("none", True), ("rotary", False)])
def test_without_positions_the_order_of_the_past_makes_no_difference(positions, same) -> None:
    torch.manual_seed(0)
    cell = Attention(3, 8, positions=positions).double()
    x = draw(6, 2, 3)
    swapped = x[[3, 1, 2, 0, 4, 5]]

    assert torch.allclose(unroll(cell, x)[0][-1], unroll(cell, swapped)[0][-1]) is same


def test_of_equal_values_it_reads_that_value() -> None:
    """The attention of a head sums to 1, whatever the keys."""
    torch.manual_seed(0)
    for tape in (0, 4):
        cell = Attention(3, 8, tape=tape).double()
        nn.init.zeros_(cell.weight_x[16:])
        cell.bias.data[16:] = torch.arange(8.0)
        expected = cell.output(torch.arange(8.0).double()).expand(9, 2, 8)

        torch.testing.assert_close(unroll(cell, draw(9, 2, 3))[0], expected)


def test_with_a_tape_of_one_a_step_sees_itself_only() -> None:
    torch.manual_seed(0)
    cell = Attention(3, 8, tape=1).double()
    x = draw(5, 2, 3)

    torch.testing.assert_close(unroll(cell, x)[0], cell.output(cell.project(x)[..., 16:]))


def test_a_tape_that_is_long_enough_is_as_good_as_one_that_grows() -> None:
    torch.manual_seed(0)
    grows, bounded = Attention(3, 8).double(), Attention(3, 8, tape=9).double()
    bounded.load_state_dict(grows.state_dict())
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(bounded, x), unroll(grows, x))
    assert grows.grows
    assert not bounded.grows


@each_form
@pytest.mark.parametrize("tape", [0, 3])
def test_an_empty_tape_harms_no_gradient(*, tape: int, parallel: bool) -> None:
    cell = Attention(3, 4, tape=tape)
    p = cell.project(torch.randn(2, 2, 3))
    state = cell.initial_state(2)
    y, last = cell.parallel(p, state) if parallel else stepwise(cell, p, state)
    y.sum().backward()

    assert last.keys.shape == (2, tape or 2, 4)
    assert all(parameter.grad.isfinite().all() for parameter in cell.parameters())


def test_it_starts_as_documented() -> None:
    """Glorot: U(-a, a), where a^2 = 6 / (columns + rows), block by block."""
    cell = Attention(30, 50)
    for weight in (*cell.weight_x.chunk(3), cell.output.weight):
        bound = (6 / sum(weight.shape)) ** 0.5
        assert weight.abs().max().item() == pytest.approx(bound, rel=0.05)
        assert weight.abs().max().item() <= bound

    assert not cell.bias.any()
    assert not cell.output.bias.any()


def test_parameter_count() -> None:
    x, h = 7, 10

    assert parameter_count(Attention(x, h)) == 3 * h * x + 3 * h + h * h + h


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"heads": 3}, "heads must divide hidden_size: 8 is no multiple of 3"),
        ({"heads": 0}, "heads must be a whole number of at least 1"),
        ({"positions": "sine"}, "positions must be one of rotary, none"),
        ({"tape": -1}, "tape must be a whole number of at least 0"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(wrong, said) -> None:
    with pytest.raises(OptionError, match=said):
        Attention(3, 8, **wrong)
