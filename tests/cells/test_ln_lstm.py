import pytest
import torch
from cell_parity import (
    LN_3,
    assert_same,
    draw,
    foreign,
    parameter_count,
    results,
    sigmoids_first,
    with_weights,
)
from torch import nn

from cellbench.cells.ln_lstm import LNLSTM, LNLSTMState


class Labml:
    """labml-nn's LSTM cell with layer normalisation, with weights drawn for the test."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.cell = foreign("labml_nn.lstm").LSTMCell(3, 5, layer_norm=True).double()
        for parameter in self.cell.parameters():
            nn.init.normal_(parameter, std=0.6)

    def run(self, x, state):
        outputs = []
        for x_t in x:
            state = self.cell(x_t, *state)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def weights(self) -> dict[str, torch.Tensor]:
        gates, c = self.cell.layer_norm, self.cell.layer_norm_c
        return {
            "weight_x": sigmoids_first(self.cell.input_lin.weight),
            "weight_h": sigmoids_first(self.cell.hidden_lin.weight),
            "bias": sigmoids_first(self.cell.hidden_lin.bias),
            "norm.gain": sigmoids_first(torch.stack([norm.weight for norm in gates])).unsqueeze(1),
            "norm.shift": sigmoids_first(torch.stack([norm.bias for norm in gates])).unsqueeze(1),
            "norm_c.weight": c.weight,
            "norm_c.bias": c.bias,
        }


STATE = [draw(4, 5, seed=1), draw(4, 5, seed=2)]


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_labml(time: int) -> None:
    theirs = Labml()
    ours = with_weights(LNLSTM(3, 5).double(), theirs.weights())

    assert_same(
        ours,
        theirs.run,
        draw(time, 4, 3),
        STATE,
        theirs.cell.parameters(),
        cell="ln_lstm",
        against="labml-nn: LSTMCell, layer_norm=True",
    )


@pytest.mark.parametrize(
    ("option", "error"), [({"ln_eps": 1e-3}, 1e-4), ({"forget_bias": 1.0}, 1e-2)], ids=str
)
def test_that_parity_sees_a_wrong_option(option: dict[str, float], error: float) -> None:
    theirs = Labml()
    x = draw(7, 4, 3)
    wrong = with_weights(LNLSTM(3, 5, **option).double(), theirs.weights())

    y, expected = (results(run, x, STATE, [])[0] for run in (wrong, theirs.run))

    assert (y - expected).abs().max() > error


@pytest.mark.parametrize("forget_bias", [0.0, LN_3])
def test_one_step_by_hand(forget_bias: float) -> None:
    """Two features, of which LN makes (1, -1) or (-1, 1), whatever they are, gate by gate.

    x = 1, h = (1, 1), W_h = 1, so W_x + b + 2 is, and gain, shift in units of ln 3 make of it:

    i: ( 7,  3)  ->  ( 1, -1)  ->  (1, 0)       ->  ( 1, -1)      sigmoid (3/4, 1/4)
    f: ( 2, -6)  ->  ( 1, -1)  ->  (-1/2, 1/2)  ->  ( 0,  1)      sigmoid (1/2, 3/4)
    o: (-5,  9)  ->  (-1,  1)  ->  (1/2, -1/2)  ->  (-1,  0)      sigmoid (1/4, 1/2)
    g: ( 9,  7)  ->  ( 1, -1)  ->  (1/2, 0)     ->  (1/2, -1/2)   tanh    (1/2, -1/2)

    c = (1, 2)  ->  c = (1/2 + 3/8, 3/2 - 1/8) = (7/8, 11/8), normalised (-1, 1);
    with gain ln 3 / 2, tanh gives (-1/2, 1/2), and h = (-1/8, 1/4).

    A forget bias of ln 3 makes f (ln 3, 2 ln 3), whose sigmoid is (3/4, 9/10):
    c = (3/4 + 3/8, 9/5 - 1/8) = (9/8, 67/40), and h as before.
    """
    cell = LNLSTM(1, 2, ln_eps=1e-12, forget_bias=forget_bias).double()
    for name, value in {
        "weight_x": torch.tensor([4.0, 0.0, -1.0, -9.0, -4.0, 4.0, 5.0, 4.0]).unsqueeze(1),
        "weight_h": torch.ones(8, 2),
        "bias": torch.tensor([1.0, 1.0, 1.0, 1.0, -3.0, 3.0, 2.0, 1.0]),
        "norm.gain": torch.tensor([1, -1 / 2, 1 / 2, 1 / 2]).view(4, 1, 1).expand(4, 1, 2) * LN_3,
        "norm.shift": torch.tensor([0, 1 / 2, -1 / 2, 0]).view(4, 1, 1).expand(4, 1, 2) * LN_3,
        "norm_c.weight": torch.full((2,), LN_3 / 2),
        "norm_c.bias": torch.zeros(2),
    }.items():
        cell.get_parameter(name).data = value.double()
    start = LNLSTMState(torch.ones(1, 2).double(), torch.tensor([[1.0, 2.0]]).double())

    y, (_, c) = cell.step(cell.project(torch.ones(1, 1, 1).double())[0], start)

    remembered = [9 / 8, 67 / 40] if forget_bias else [7 / 8, 11 / 8]
    torch.testing.assert_close(y[0].tolist(), [-1 / 8, 1 / 4])
    torch.testing.assert_close(c[0].tolist(), remembered)


def test_it_starts_orthogonal_gate_by_gate() -> None:
    cell = LNLSTM(4, 6)
    for block_h, block_x in zip(cell.weight_h.chunk(4), cell.weight_x.chunk(4), strict=True):
        torch.testing.assert_close(block_h @ block_h.t(), torch.eye(6))
        torch.testing.assert_close(block_x.t() @ block_x, torch.eye(4))

    assert not cell.bias.any()


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(LNLSTM(x, h)) == 4 * h * (x + h) + 4 * h + 10 * h


def test_parameter_counts_are_those_of_the_hypernetworks_paper() -> None:
    with torch.device("meta"):
        total = parameter_count(LNLSTM(50, 1000)) + parameter_count(nn.Linear(1000, 50))

    assert round(total / 1e6, 2) == 4.26
