from functools import partial

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, parameter_count, with_weights
from cell_steps import assert_uniform, by_hand, drawn, near
from torch import Tensor, nn

from cellbench.cells.qrnn import QRNN
from cellbench.errors import OptionError
from cellbench.unroll import stepwise


def written_out(weights: dict[str, Tensor], x, state, window: int, pooling: str):
    """Write the paper's formula out again: a convolution, and a loop over time and features."""
    c, before = state
    rows = weights["conv.weight"].view(-1, window, x.shape[-1]).transpose(1, 2)  # out, in, window
    seen = torch.cat([before, x.transpose(0, 1)], dim=1)
    convolved = nn.functional.conv1d(seen.transpose(1, 2), rows, weights["conv.bias"])
    size, outputs = c.shape[1], []
    for t in range(len(x)):
        memory, shown = [], []
        for k in range(size):
            z = convolved[:, k, t].tanh()
            f = convolved[:, size + k, t].sigmoid()
            o = 1 if pooling == "f" else convolved[:, 2 * size + k, t].sigmoid()
            i = convolved[:, 3 * size + k, t].sigmoid() if pooling == "ifo" else 1 - f
            memory.append(f * c[:, k] + i * z)
            shown.append(o * memory[-1])
        c = torch.stack(memory, 1)
        outputs.append(torch.stack(shown, 1))
    return torch.stack(outputs), (c, seen[:, seen.shape[1] - window + 1 :])


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
@pytest.mark.parametrize(("window", "pooling"), [(1, "fo"), (2, "fo"), (3, "f"), (4, "ifo")])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(
    *, time: int, window: int, pooling: str, parallel: bool
) -> None:
    cell = QRNN(3, 5, window=window, pooling=pooling)
    weights = drawn(cell)

    def theirs(x, state):
        return written_out(weights, x, state, window, pooling)

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        theirs,
        draw(time, 4, 3),
        [draw(4, 5, seed=1), draw(4, window - 1, 3, seed=2)],
        weights.values(),
        cell="qrnn",
        against=FORMULAS,
    )


@pytest.mark.parametrize(
    ("pooling", "h", "c"),
    [("f", 13 / 8, 13 / 8), ("fo", 13 / 32, 13 / 8), ("ifo", 39 / 80, 39 / 20)],
)
def test_one_step_by_hand(pooling: str, h: float, c: float) -> None:
    """x = 1 after 2, c = 2; in units of ln 3

    z:  2/4 + 1 - 1 = 1/2    tanh    1/2
    f:  2/2 + 1 - 1 =  1     sigmoid 3/4
    o: -2/2 + 1 - 1 = -1     sigmoid 1/4
    i:  2   + 1 - 1 =  2     sigmoid 9/10

    c = 3/4 * 2 + 1/4 * 1/2 = 13/8, or 3/2 + 9/10 * 1/2 = 39/20;  h = 1/4 c, or c.
    """
    gates = {"f": 2, "fo": 3, "ifo": 4}[pooling]
    rows = [[1 / 4, 1], [1 / 2, 1], [-1 / 2, 1], [1, 1]]
    weights = {
        "conv.weight": [LN_3 * value for row in rows[:gates] for value in row],
        "conv.bias": [-LN_3] * gates,
    }
    found = by_hand(QRNN(1, 1, pooling=pooling), weights, [1], [2], [[2]])

    assert found == near([h], [c], [1])


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
def test_zoneout_keeps_features_while_training(*, parallel: bool) -> None:
    """A feature of 1 is written over with 0 or kept as it is, with no rescaling."""
    torch.manual_seed(0)
    cell = QRNN(3, 50, pooling="f", zoneout=0.3)
    nn.init.zeros_(cell.conv.weight)
    nn.init.zeros_(cell.conv.bias)
    cell.conv.bias.data[50:] = -100.0  # f = 0
    start = cell.initial_state(100)._replace(c=torch.ones(100, 50))
    run = cell.parallel if parallel else partial(stepwise, cell)
    x = torch.zeros(2, 100, 3)
    kept, _ = run(x, start)
    cell.eval()
    forgotten, _ = run(x, start)

    assert kept.unique().tolist() == [0, 1]
    assert kept[0].mean().item() == pytest.approx(0.3, abs=0.03)
    assert kept[1].mean().item() == pytest.approx(0.09, abs=0.02)
    assert not forgotten.any()


def test_zoneout_leaves_the_open_forget_gate_alone() -> None:
    torch.manual_seed(0)
    cell = QRNN(3, 50, zoneout=0.6).double()
    nn.init.constant_(cell.conv.bias[50:100].detach(), 100.0)  # f = 1
    x = draw(5, 4, 3)
    start = cell.initial_state(4)._replace(c=draw(4, 50))

    trained = cell.parallel(x, start)
    evaluated = cell.eval().parallel(x, start)

    torch.testing.assert_close(trained, evaluated)


def test_it_starts_as_a_convolution() -> None:
    torch.manual_seed(0)
    cell = QRNN(24, 128, window=3)

    assert_uniform(cell.conv.weight, (3 * 24) ** -0.5)
    assert_uniform(cell.conv.bias, (3 * 24) ** -0.5)


def test_before_the_first_step_all_inputs_were_0() -> None:
    state = QRNN(3, 5, window=4).initial_state(2)

    assert [part.shape for part in state] == [(2, 5), (2, 3, 3)]
    assert not any(part.any() for part in state)


@pytest.mark.parametrize(
    ("options", "rows", "window"),
    [({}, 3, 2), ({"pooling": "f"}, 2, 2), ({"pooling": "ifo", "window": 5}, 4, 5)],
    ids=str,
)
def test_parameter_count(options: dict, rows: int, window: int) -> None:
    x, h = 7, 11

    assert parameter_count(QRNN(x, h, **options)) == rows * h * (window * x + 1)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"window": 0}, "window must be a whole number of at least 1"),
        ({"pooling": "of"}, "pooling must be one of f, fo, ifo"),
        ({"zoneout": 1.0}, "zoneout must be a number of at least 0 and below 1"),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(option: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        QRNN(3, 5, **option)
