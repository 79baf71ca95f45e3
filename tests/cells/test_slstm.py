import math

import pytest
import torch
from cell_parity import (
    FORMULAS,
    LN_3,
    assert_same,
    draw,
    foreign,
    parameter_count,
    with_weights,
)
from torch import nn

from cellbench.cells.slstm import SLSTM, SLSTMState
from cellbench.errors import OptionError
from cellbench.unroll import stepwise

TIMES = [1, 2, 7, 64]
X, H, HEADS = 3, 6, 2
STATE = [draw(4, H, seed=1), draw(4, H, seed=2), draw(4, H, seed=3).exp(), draw(4, H, seed=4)]


def drawn(**options) -> tuple[SLSTM, dict[str, torch.Tensor]]:
    """Make a cell and weights for it, none of which is 0."""
    cell = SLSTM(X, H, heads=HEADS, **options).double()
    return cell, {
        name: (0.6 * draw(*parameter.shape, seed=5 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }


def pieces(weights, gate: int, head: int):
    """Return W, R and b of one gate of one head."""
    rows = slice(*((4 * head + gate) * 3 + end for end in (0, 3)))
    own = slice(3 * gate, 3 * gate + 3)
    return weights["weight_x"][rows], weights["weight_h"][head][own], weights["bias"][rows]


def written_out(weights, x, state, *, exponential: bool, floor: bool):
    """Write the paper's formulas out again, unstabilised: true c and n, head by head.

    A state of ours is the true one, scaled by exp(-m).
    """
    h, c, n, m = (part.clone() for part in state)
    c, n = c * m.exp(), n * m.exp()
    outputs = []
    for x_t in x:
        parts = []
        for head in range(HEADS):
            mine = slice(3 * head, 3 * head + 3)
            i, f, z, o = (
                x_t @ W.t() + h[:, mine] @ R.t() + b
                for W, R, b in (pieces(weights, gate, head) for gate in range(4))
            )
            log_f = f if exponential else -torch.log1p(torch.exp(-f))
            new_m = torch.where(log_f + m[:, mine] > i, log_f + m[:, mine], i)
            new_c = log_f.exp() * c[:, mine] + i.exp() * z.tanh()
            new_n = log_f.exp() * n[:, mine] + i.exp()
            if floor:
                new_n = torch.where(new_n > new_m.exp(), new_n, new_m.exp())
            parts.append((new_c / new_n / (1 + torch.exp(-o)), new_c, new_n, new_m))
        h, c, n, m = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        outputs.append(h)
    return torch.stack(outputs), (h, c / m.exp(), n / m.exp(), m)


@pytest.mark.parametrize("floor", [False, True])
@pytest.mark.parametrize("forget_gate", ["sigmoid", "exponential"])
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_formulas_of_the_paper(*, time: int, forget_gate: str, floor: bool) -> None:
    cell, weights = drawn(forget_gate=forget_gate, floor=floor)
    exponential = forget_gate == "exponential"

    assert_same(
        with_weights(cell, weights),
        lambda x, s: written_out(weights, x, s, exponential=exponential, floor=floor),
        draw(time, 4, X),
        [part.clone() for part in STATE],
        weights.values(),
        cell="slstm",
        against=FORMULAS,
    )


class Authors:
    """The authors' cell in plain torch; its bias and its input are stacked gate by gate."""

    def __init__(self) -> None:
        module = foreign("xlstm.blocks.slstm.cell")
        config = module.sLSTMCellConfig(
            hidden_size=H,
            num_heads=HEADS,
            backend="vanilla",
            dtype="float32",
            enable_automatic_mixed_precision=False,
            input_shape="SBGNH",
            output_shape="SBH",
        )
        self.cell = module.sLSTMCell(config).double()

    def run(self, weights, x, state):
        stacked = x @ weights["weight_x"].t() + weights["bias"]
        by_gate = stacked.view(*x.shape[:2], HEADS, 4, 3).transpose(2, 3).reshape(*x.shape[:2], -1)
        named = {
            "_recurrent_kernel_": weights["weight_h"],
            "_bias_": torch.zeros(4 * H).double(),
        }
        y, last = torch.func.functional_call(self.cell, named, (by_gate, torch.stack(state)))
        return y, tuple(last)


@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_one_of_its_authors(time: int) -> None:
    """From a state with n above 0: a whole batch of zeros makes theirs take another branch."""
    authors = Authors()
    cell, weights = drawn()

    assert_same(
        with_weights(cell, weights),
        lambda x, state: authors.run(weights, x, state),
        draw(time, 4, X),
        [part.clone() for part in STATE],
        weights.values(),
        cell="slstm",
        against="xlstm: sLSTMCell",
    )


def test_it_starts_like_the_one_of_its_authors() -> None:
    """Theirs from zeros, which is a case of its own there; ours from the lowest m."""
    authors = Authors()
    cell, weights = drawn()
    x = draw(7, 4, X)

    y, last = with_weights(cell, weights)(x, cell.initial_state(4))
    expected, right = authors.run(weights, x, [torch.zeros(4, H).double()] * 4)

    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(tuple(last), right)


def by_hand(**options) -> tuple[float, list[float]]:
    """Take one step of x = 1, h = 2 with c = 8, n = 2, m = ln 3."""
    cell = SLSTM(1, 1, **options).double()
    for name, value in {
        "weight_x": [[1.0], [-1.0], [0.0], [2.0]],
        "weight_h": [[[1.0], [LN_3], [LN_3], [-1.0]]],
        "bias": [LN_3 - 3, 1 - LN_3, -3 * LN_3 / 2, LN_3],
    }.items():
        cell.get_parameter(name).data = torch.tensor(value).double()
    start = SLSTMState(*(torch.tensor([[v]]).double() for v in (2.0, 8.0, 2.0, LN_3)))
    y, last = stepwise(cell, cell.project(torch.ones(1, 1, 1).double()), start)
    return y.item(), [part.item() for part in last]


def test_one_step_by_hand() -> None:
    """i = 1 + 2 + ln 3 - 3 = ln 3, f = -1 + 2 ln 3 + 1 - ln 3 = ln 3, z = 2 ln 3 - 3/2 ln 3
    = ln 3 / 2 and o = 2 - 2 + ln 3 = ln 3.

    f is sigmoid(ln 3) = 3/4, so f + m = ln(9/4), below i, and m = ln 3: i' = 1, f' = 3/4.
    c = 3/4 * 8 + 1 * 1/2 = 13/2    n = 3/4 * 2 + 1 = 5/2    h = 3/4 * 13/5 = 39/20
    """
    y, (h, c, n, m) = by_hand()

    assert [y, h, c, n, m] == pytest.approx([39 / 20, 39 / 20, 13 / 2, 5 / 2, LN_3])


def test_one_step_by_hand_of_an_exponential_forget_gate() -> None:
    """f is 3, so f + m = 2 ln 3, above i = ln 3: m = 2 ln 3, i' = 1/3, f' = 1.

    c = 8 + 1/3 * 1/2 = 49/6    n = 2 + 1/3 = 7/3    h = 3/4 * 49/14 = 21/8
    """
    y, (h, c, n, m) = by_hand(forget_gate="exponential")

    assert [y, h, c, n, m] == pytest.approx([21 / 8, 21 / 8, 49 / 6, 7 / 3, 2 * LN_3])


@pytest.mark.parametrize("floor", [False, True])
def test_a_floor_keeps_a_small_normaliser_at_one(floor) -> None:
    """f' = 1, i' = exp(-1000) = 0: n stays 1/4, or becomes 1; c = 1 and h = 1/2 * 1 / n."""
    cell = SLSTM(1, 1, floor=floor).double()
    for parameter, value in zip(cell.parameters(), (0, 0, 0), strict=True):
        nn.init.constant_(parameter, value)
    cell.bias.data[:2] = torch.tensor([-1000.0, 1000.0])
    start = SLSTMState(*(torch.tensor([[v]]).double() for v in (0.0, 1.0, 0.25, 0.0)))

    y, last = cell.step(cell.project(torch.zeros(1, 1, 1).double())[0], start)

    assert last.n.item() == pytest.approx(1 if floor else 1 / 4)
    assert y.item() == pytest.approx(1 / 2 if floor else 2)


def test_what_it_gives_does_not_depend_on_the_stabiliser() -> None:
    cell, weights = drawn()
    run, x = with_weights(cell, weights), draw(7, 4, X)
    h, c, n, m = STATE

    scaled = (h, c * math.exp(-5), n * math.exp(-5), m + 5)

    torch.testing.assert_close(run(x, scaled)[0], run(x, tuple(STATE))[0])


@pytest.mark.parametrize("gate", [-1e4, 1e4])
def test_gates_of_any_size_overflow_nowhere(gate) -> None:
    """Its outputs are averages of tanh(z), and so below 1 in size."""
    torch.manual_seed(0)
    cell = SLSTM(X, 4, heads=2)
    x = torch.randn(5, 2, X)
    cell.bias.data.view(2, 4, 2)[:, 0] = gate

    y, _ = stepwise(cell, cell.project(x), cell.initial_state(2))

    assert y.abs().max() < 1
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.sum(), list(cell.parameters())))


def test_heads_do_not_see_each_other() -> None:
    cell, weights = drawn()
    run, x = with_weights(cell, weights), torch.zeros(2, 4, X).double()
    other = (STATE[0] + torch.tensor([1.0, 1, 1, 0, 0, 0]).double(), *STATE[1:])

    changed = run(x, other)[0] - run(x, tuple(STATE))[0]

    assert (changed[:, :, :3] != 0).all()
    assert not changed[:, :, 3:].any()


def test_it_starts_as_its_authors_have_it() -> None:
    torch.manual_seed(0)
    cell = SLSTM(50, 64, heads=2)
    i, f, z, o = cell.bias.view(2, 4, 32).unbind(1)

    assert cell.weight_x.std().item() == pytest.approx(math.sqrt(2 / 250), rel=0.03)
    assert not any(part.any() for part in (cell.weight_h, i, z, o))
    authors = [5 - 12 * (k / 31) ** 0.3 for k in range(32)]
    torch.testing.assert_close(f, torch.tensor([authors, authors]))
    linspace = SLSTM(50, 64, heads=2, init="linspace").bias.view(2, 4, 32)[1, 1]
    torch.testing.assert_close(linspace, torch.linspace(3, 6, 32))


def test_parameter_count() -> None:
    """Of each of 4 gates: 8 x 7 of the inputs, 2 blocks of 4 x 4 and 8 biases."""
    assert parameter_count(SLSTM(7, 8, heads=2)) == 4 * (56 + 32 + 8)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"heads": 3}, "heads must divide hidden_size: 4 is no multiple of 3"),
        ({"heads": 0}, "heads must be a whole number of at least 1"),
        ({"forget_gate": "exp"}, "forget_gate must be one of sigmoid, exponential"),
        ({"init": "zeros"}, "init must be one of powerlaw, linspace"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option, said) -> None:
    with pytest.raises(OptionError, match=said):
        SLSTM(3, 4, **option)
