import pytest
import torch
from cell_parity import FORMULAS, LN_3, draw, foreign, parameter_count
from cell_steps import assert_same_when_warm, assert_uniform, by_hand, drawn, near
from torch import Tensor, nn

from cellbench.cells.lstm import LSTM
from cellbench.cells.mogrifier import Mogrifier
from cellbench.errors import OptionError
from cellbench.unroll import unroll

STATE = [draw(4, 5, seed=1), draw(4, 5, seed=2)]


@pytest.mark.parametrize(("rounds", "rank"), [(2, 0), (5, 0), (4, 2)])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_sharing_its_rounds_it_is_the_one_of_another_project(
    time: int, rounds: int, rank: int
) -> None:
    """Which has biases, here 0, in Q and R, and leaves the LSTM to others, here to PyTorch."""
    cell = Mogrifier(3, 5, rounds=rounds, rank=rank, shared=True)
    weights = drawn(cell)
    options = {"iters": rounds, "factorize_k": rank or None}
    gating = foreign("mogrifier").Mogrifier(dim=3, dim_hidden=5, **options).double()
    for name, parameter in gating.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    ours = iter([weight for name, weight in weights.items() if name.startswith("gates.")])
    matrices = {n: next(ours) for n, _ in gating.named_parameters() if n.endswith("weight")}
    lstm = nn.LSTMCell(3, 5).double()
    of_lstm = {
        "weight_ih": weights["weight_x"],
        "weight_hh": weights["weight_h"],
        "bias_ih": weights["bias"],
        "bias_hh": torch.zeros(20).double(),
    }

    def theirs(x, state):
        outputs = []
        for x_t in x:
            seen, h = torch.func.functional_call(gating, matrices, (x_t, state[0]))
            state = torch.func.functional_call(lstm, of_lstm, (seen, (h, state[1])))
            outputs.append(state[0])
        return torch.stack(outputs), state

    assert_same_when_warm(
        cell, weights, theirs, time, cell="mogrifier", against="mogrifier: Mogrifier"
    )


def written_out(weights: dict[str, Tensor], x, state, rounds: int, rank: int):
    """Write the paper's formula out again: a sequence at a time, each round a matrix of its own."""
    sequences = []
    for b in range(x.shape[1]):
        h, c = state[0][b], state[1][b]
        outputs = []
        for x_t in x[:, b]:
            seen = x_t
            for r in range(1, rounds + 1):
                name = f"gates.{r - 1}"
                if rank:
                    matrix = weights[f"{name}.1.weight"] @ weights[f"{name}.0.weight"]
                else:
                    matrix = weights[f"{name}.weight"]
                if r % 2:
                    seen = seen * 2 / (1 + torch.exp(-(matrix @ h)))
                else:
                    h = h * 2 / (1 + torch.exp(-(matrix @ seen)))
            i, f, g, o = (
                weights["weight_x"] @ seen + weights["weight_h"] @ h + weights["bias"]
            ).view(4, -1)
            c = c / (1 + torch.exp(-f)) + torch.tanh(g) / (1 + torch.exp(-i))
            h = torch.tanh(c) / (1 + torch.exp(-o))
            outputs.append(h)
        sequences.append((torch.stack(outputs), h, c))
    y, h, c = zip(*sequences, strict=True)
    return torch.stack(y, 1), (torch.stack(h), torch.stack(c))


@pytest.mark.parametrize(("rounds", "rank"), [(0, 0), (1, 0), (5, 0), (4, 2)])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time: int, rounds: int, rank: int) -> None:
    cell = Mogrifier(3, 5, rounds=rounds, rank=rank)
    weights = drawn(cell)

    def theirs(x, state):
        return written_out(weights, x, state, rounds, rank)

    assert_same_when_warm(cell, weights, theirs, time, cell="mogrifier", against=FORMULAS)


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, c = ln 3 - 3/4, three rounds:

    Q_1 h =  (ln 3 / 2) 2      =  ln 3     x = 2 * 3/4 * 1   = 3/2
    R_2 x = (-2/3 ln 3) 3/2    = -ln 3     h = 2 * 1/4 * 2   = 1
    Q_3 h = -ln 3              = -ln 3     x = 2 * 1/4 * 3/2 = 3/4

    and in units of ln 3, x enters as 4/3 * 3/4 = 1:

    i: 1 + 1   - 1 =  1     sigmoid 3/4
    f: 1 - 1       =  0     sigmoid 1/2
    g: 1 - 1/2     = 1/2    tanh    1/2
    o: 1 - 1   - 1 = -1     sigmoid 1/4

    c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2,  h = 1/4 * 1/2 = 1/8.
    """
    weights = {
        "gates.0.weight": [LN_3 / 2],
        "gates.1.weight": [-2 / 3 * LN_3],
        "gates.2.weight": [-LN_3],
        "weight_x": [4 / 3 * LN_3] * 4,
        "weight_h": [LN_3, -LN_3, -LN_3 / 2, -LN_3],
        "bias": [-LN_3, 0, 0, -LN_3],
    }
    found = by_hand(Mogrifier(1, 1, rounds=3), weights, [1], [2], [LN_3 - 3 / 4])

    assert found == near([1 / 8], [1 / 8], [LN_3 / 2])


@pytest.mark.parametrize("options", [{"rounds": 0}, {}], ids=str)
def test_without_rounds_or_with_gates_of_1_it_is_an_lstm(options: dict) -> None:
    """2 sigmoid(0) = 1."""
    torch.manual_seed(0)
    cell, lstm = Mogrifier(3, 5, **options).double(), LSTM(3, 5).double()
    lstm.weight_ih.data, lstm.weight_hh.data = cell.weight_x.data, cell.weight_h.data
    lstm.bias_ih.data = cell.bias.data
    nn.init.zeros_(lstm.bias_hh)
    for parameter in cell.gates.parameters():
        nn.init.zeros_(parameter)
    x = draw(9, 2, 3)

    torch.testing.assert_close(unroll(cell, x)[0], unroll(lstm, x)[0])


def test_it_starts_as_it_says() -> None:
    torch.manual_seed(0)
    cell = Mogrifier(48, 128, rank=16)

    for parameter in (cell.weight_x, cell.weight_h, cell.bias):
        assert_uniform(parameter, 128**-0.5)
    for r, (right, left) in enumerate(cell.gates):
        assert_uniform(right.weight, (48 if r % 2 else 128) ** -0.5)
        assert_uniform(left.weight, 16**-0.5)


@pytest.mark.parametrize(
    ("options", "gates"),
    [
        ({}, 5 * 7 * 11),
        ({"rounds": 3}, 3 * 7 * 11),
        ({"shared": True}, 2 * 7 * 11),
        ({"shared": True, "rounds": 1}, 7 * 11),
        ({"rank": 2}, 5 * 2 * (7 + 11)),
    ],
    ids=str,
)
def test_parameter_count(options: dict, gates: int) -> None:
    x, h = 7, 11

    assert parameter_count(Mogrifier(x, h, **options)) == 4 * h * (x + h) + 4 * h + gates


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"rounds": -1}, "rounds must be a whole number of at least 0"),
        ({"rank": -1}, "rank must be a whole number of at least 0"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Mogrifier(3, 5, **option)
