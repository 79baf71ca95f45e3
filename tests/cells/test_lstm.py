import pytest
import torch
from cell_parity import LN_3, assert_same, draw, parameter_count, with_weights
from torch import nn

from cellbench.cells.lstm import LSTM, LSTMState
from cellbench.errors import OptionError


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_lstm_of_torch(*, time: int, parallel: bool) -> None:
    theirs = nn.LSTM(3, 5, dtype=torch.float64)
    weights = {name.removesuffix("_l0"): weight for name, weight in theirs.named_parameters()}

    def run(x, state):
        y, last = theirs(x, tuple(part.unsqueeze(0) for part in state))
        return y, tuple(part.squeeze(0) for part in last)

    ours = with_weights(LSTM(3, 5), weights, parallel=parallel)
    state = [draw(4, 5, seed=1), draw(4, 5, seed=2)]

    assert_same(
        ours, run, draw(time, 4, 3), state, weights.values(), cell="lstm", against="torch: nn.LSTM"
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, with W_ih, W_hh, b_ih, b_hh in units of ln 3:

    i: 1 + 2 (1/2)  - 2 + 1   =  1    sigmoid 3/4
    f: 1 + 2 (-1)   + 2 - 1   =  0    sigmoid 1/2
    g: 1 + 2 (1/4)  - 2 + 1   = 1/2   tanh    1/2
    o: 1 + 2 (-1/2) - 2 + 1   = -1    sigmoid 1/4

    c = ln 3 - 3/4  ->  c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2,  h = 1/4 * 1/2 = 1/8.
    """
    cell = LSTM(1, 1)
    cell.weight_ih.data = torch.tensor([[1.0], [1.0], [1.0], [1.0]]) * LN_3
    cell.weight_hh.data = torch.tensor([[1 / 2], [-1.0], [1 / 4], [-1 / 2]]) * LN_3
    cell.bias_ih.data = torch.tensor([-2.0, 2.0, -2.0, -2.0]) * LN_3
    cell.bias_hh.data = torch.tensor([1.0, -1.0, 1.0, 1.0]) * LN_3
    start = LSTMState(torch.tensor([[2.0]]), torch.tensor([[LN_3 - 3 / 4]]))

    y, (h, c) = cell.step(torch.ones(1, 1), start)

    torch.testing.assert_close([y.item(), h.item(), c.item()], [1 / 8, 1 / 8, LN_3 / 2])


@pytest.mark.parametrize("forget_bias", [0.0, 1.5])
def test_a_seed_gives_the_weights_of_torch_but_for_the_forget_bias(forget_bias: float) -> None:
    torch.manual_seed(3)
    ours = LSTM(3, 5, forget_bias=forget_bias)
    torch.manual_seed(3)
    theirs = nn.LSTM(3, 5)
    theirs.bias_ih_l0.data[5:10] += forget_bias

    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()), rtol=0, atol=0)


def test_chrono_biases_are_the_logarithms_of_memories() -> None:
    """e^b_f is uniform from 1 to 19, of mean 10 and standard deviation 18 / sqrt 12 = 5.196."""
    torch.manual_seed(3)
    cell = LSTM(3, 4000, init="chrono", longest=20)
    i, f, g, o = (cell.bias_ih + cell.bias_hh).detach().chunk(4)
    steps = f.exp()

    assert 1 <= steps.min() < 1.05
    assert 18.95 < steps.max() <= 19.0001
    torch.testing.assert_close(steps.mean().item(), 10.0, rtol=0, atol=0.3)
    torch.testing.assert_close(steps.std().item(), 18 / 12**0.5, rtol=0, atol=0.1)
    assert torch.equal(i, -f)
    assert not cell.bias_hh[:8000].any()
    assert max(g.abs().max(), o.abs().max()) <= 2 / 4000**0.5


def test_chrono_changes_no_other_start() -> None:
    torch.manual_seed(3)
    plain = LSTM(3, 5)
    torch.manual_seed(3)
    cell = LSTM(3, 5, init="chrono", longest=9)

    assert torch.equal(cell.weight_ih, plain.weight_ih)
    assert torch.equal(cell.weight_hh, plain.weight_hh)
    assert torch.equal(cell.bias_ih[10:], plain.bias_ih[10:])
    assert torch.equal(cell.bias_hh[10:], plain.bias_hh[10:])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"init": "warp"}, "init must be one of torch, chrono"),
        ({"init": "chrono"}, "longest must be a whole number of at least 3, not 0"),
        ({"init": "chrono", "longest": 2}, "longest must be a whole number of at least 3, not 2"),
        ({"longest": -1}, "longest must be a whole number of at least 0"),
        ({"longest": 9}, "longest must be 0 unless init=chrono, not 9"),
        ({"init": "chrono", "longest": 9, "forget_bias": 1.0}, "forget_bias must be 0 with init="),
    ],
    ids=str,
)
def test_an_option_of_the_start_that_it_cannot_take(given: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        LSTM(3, 5, **given)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(LSTM(x, h)) == 4 * h * (x + h) + 8 * h


@pytest.mark.parametrize(
    ("sizes", "inputs", "outputs", "millions"),
    [
        ([1000], 50, 50, 4.25),
        ([1250], 50, 50, 6.57),
        ([1000, 1000], 50, 50, 12.26),
        ([1800], 205, 205, 14.81),
        ([2000], 205, 205, 18.06),
        ([900], 3, 121, 3.36),
        ([1000], 3, 121, 4.14),
        ([650, 650], 3, 121, 5.16),
    ],
)
def test_parameter_counts_are_those_of_the_hypernetworks_paper(
    sizes: list[int], inputs: int, outputs: int, millions: float
) -> None:
    """Which counts one bias vector, and the output layer."""
    with torch.device("meta"):
        layers = [LSTM(x, h) for x, h in zip([inputs, *sizes], sizes, strict=False)]
        total = parameter_count(nn.ModuleList(layers)) - 4 * sum(sizes)
        total += parameter_count(nn.Linear(sizes[-1], outputs))

    assert round(total / 1e6, 2) == millions
