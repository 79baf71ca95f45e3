import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, draw, parameter_count
from cell_steps import (
    assert_same_when_warm,
    assert_starts_as_in_torch,
    by_hand,
    drawn,
    near,
    stepped,
    torchrecurrent,
)
from torch import Tensor, nn

from cellbench.cells.lstm_variant import KINDS, LSTMVariant
from cellbench.cells.stacked_gates import MemoryState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


def logistic(v: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-v))


def written_out(weights: dict[str, Tensor], x, state, kind: str):
    """Write the paper's formulas out again: a sequence at a time, with a matrix to a gate."""
    names = {"nig": "fgo", "nfg": "igo", "nog": "ifg", "cifg": "igo"}.get(kind, "ifgo")
    w = dict(zip(names, weights["weight_x"].split(5), strict=True))
    u = dict(zip(names, weights["weight_h"].split(5), strict=True))
    b = dict(zip(names, weights["bias"].split(5), strict=True))
    peepholes = weights.get("peepholes", torch.zeros(3, 5).double())
    p = dict(zip([name for name in names if name != "g"], peepholes, strict=True))
    sequences = []
    for row in range(x.shape[1]):
        h, c, outputs = state[0][row], state[1][row], []
        for x_t in x[:, row]:
            y = {name: w[name] @ x_t + u[name] @ h + b[name] for name in names}
            i = torch.ones(5).double() if kind == "nig" else logistic(y["i"] + p["i"] * c)
            match kind:
                case "nfg":
                    f = torch.ones(5).double()
                case "cifg":
                    f = torch.ones(5).double() - i
                case _:
                    f = logistic(y["f"] + p["f"] * c)
            c = i * (y["g"] if kind == "niaf" else y["g"].tanh()) + f * c
            shown = c if kind == "noaf" else c.tanh()
            h = shown if kind == "nog" else shown * logistic(y["o"] + p["o"] * c)
            outputs.append(h)
        sequences.append((torch.stack(outputs), h, c))
    y, h, c = zip(*sequences, strict=True)
    return torch.stack(y, 1), (torch.stack(h), torch.stack(c))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(time: int, kind: str) -> None:
    cell = LSTMVariant(3, 5, kind=kind)
    weights = drawn(cell)

    def theirs(x, state):
        return written_out(weights, x, state, kind)

    assert_same_when_warm(cell, weights, theirs, time, cell="lstm_variant", against=FORMULAS)


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_vanilla_is_the_peephole_lstm_of_torchrecurrent(time: int) -> None:
    cell = LSTMVariant(3, 5, kind="vanilla")
    weights = drawn(cell)
    named = {
        "weight_ih": weights["weight_x"],
        "weight_hh": weights["weight_h"],
        "weight_ph": weights["peepholes"].flatten(),
        "bias_ih": weights["bias"],
        "bias_hh": torch.zeros(20).double(),
    }
    theirs = torchrecurrent("PeepholeLSTMCell", named)
    against = "torchrecurrent: PeepholeLSTMCell"

    assert_same_when_warm(cell, weights, theirs, time, cell="lstm_variant", against=against)


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_without_peepholes_it_is_the_lstm_of_torch(time: int) -> None:
    cell = LSTMVariant(3, 5, kind="np")
    weights = drawn(cell)
    named = {
        "weight_ih": weights["weight_x"],
        "weight_hh": weights["weight_h"],
        "bias_ih": weights["bias"],
        "bias_hh": torch.zeros(20).double(),
    }
    theirs = stepped(nn.LSTMCell(3, 5).double(), named)

    assert_same_when_warm(
        cell, weights, theirs, time, cell="lstm_variant", against="torch: nn.LSTMCell"
    )


@pytest.mark.parametrize(
    ("kind", "c", "shown"),
    [
        ("vanilla", LN_3 / 2, 1 / 8),
        ("nig", LN_3 / 2 + 1 / 8, None),  # 1/2 c + 1/2
        ("nfg", LN_3 - 3 / 8, None),  # c + 3/4 * 1/2
        ("nog", LN_3 / 2, 1 / 2),
        ("cifg", LN_3 / 4 + 3 / 16, None),  # 1/4 c + 3/4 * 1/2
        ("niaf", 7 / 8 * LN_3 - 3 / 8, None),  # 1/2 c + 3/4 * ln 3 / 2
        ("noaf", LN_3 / 2, LN_3 / 8),
    ],
)
def test_one_step_by_hand(kind: str, c: float, shown: float | None) -> None:
    """x = 1, h = 2, c = ln 3 - 3/4

    i: ln 3 + ln 3 + 1 (ln 3 - 3/4) - 2 ln 3 + 3/4  =  ln 3      sigmoid 3/4
    f: ln 3 - ln 3 + 2 (ln 3 - 3/4) - 2 ln 3 + 3/2  =  0         sigmoid 1/2
    g: ln 3 - ln 3 / 2                              =  ln 3 / 2  tanh    1/2
    o: ln 3 - ln 3 - 4 c + ln 3                     =  ln 3 - 4 c

    Vanilla: c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2, so that o is 1/4 and h = 1/4 * 1/2.
    Others that end with another c have h = tanh(c) / (1 + exp(4 c) / 3).
    """
    values = {
        "weight_x": dict.fromkeys("ifgo", LN_3),
        "weight_h": {"i": LN_3 / 2, "f": -LN_3 / 2, "g": -LN_3 / 4, "o": -LN_3 / 2},
        "bias": {"i": 3 / 4 - 2 * LN_3, "f": 3 / 2 - 2 * LN_3, "g": 0, "o": LN_3},
        "peepholes": {"i": 1, "f": 2, "o": -4},
    }
    missing = {"nig": "i", "nfg": "f", "nog": "o", "cifg": "f"}.get(kind)
    weights = {
        name: [value for gate, value in by_gate.items() if gate != missing]
        for name, by_gate in values.items()
    }
    h = math.tanh(c) / (1 + math.exp(4 * c) / 3) if shown is None else shown

    found = by_hand(LSTMVariant(1, 1, kind=kind), weights, [1], [2], [LN_3 - 3 / 4])

    assert found == near([h], [h], [c])


def test_without_a_forget_gate_nothing_is_forgotten() -> None:
    cell = LSTMVariant(3, 5, kind="nfg").double()
    cell.bias.data[:5] = -1000  # no input either
    c = draw(4, 5)

    _, last = unroll(cell, draw(50, 4, 3), MemoryState(draw(4, 5, seed=1), c))

    torch.testing.assert_close(last.c, c, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_as_it_says(kind: str) -> None:
    torch.manual_seed(0)
    cell = LSTMVariant(48, 128, kind=kind)

    assert_starts_as_in_torch(cell, "peepholes")
    assert (cell.peepholes is None) == (kind == "np")
    assert cell.peepholes is None or not cell.peepholes.any()


@pytest.mark.parametrize(
    ("kind", "gates", "peepholes"),
    [
        *[("nig", 3, 2), ("nfg", 3, 2), ("nog", 3, 2), ("cifg", 3, 2)],
        *[("vanilla", 4, 3), ("niaf", 4, 3), ("noaf", 4, 3), ("np", 4, 0)],
    ],
)
def test_parameter_count(kind: str, gates: int, peepholes: int) -> None:
    x, h = 7, 11

    found = parameter_count(LSTMVariant(x, h, kind=kind))

    assert found == gates * (h * (x + h) + h) + peepholes * h


def test_coupled_gates_are_the_default() -> None:
    assert LSTMVariant(3, 5).kind == "cifg"


def test_a_kind_that_is_none_is_named() -> None:
    with pytest.raises(OptionError, match="kind must be one of vanilla, nig, nfg, nog, cifg"):
        LSTMVariant(3, 5, kind="fgr")
