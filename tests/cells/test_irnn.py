import pytest
import torch
from cell_parity import assert_same, draw, parameter_count, with_weights
from torch import nn

from cellbench.cells.irnn import IRNN, IRNNState
from cellbench.unroll import unroll


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_relu_rnn_of_torch(*, time: int, parallel: bool) -> None:
    theirs = nn.RNN(3, 5, nonlinearity="relu", dtype=torch.float64)
    weights = {name.removesuffix("_l0"): weight for name, weight in theirs.named_parameters()}

    def run(x, state):
        y, h = theirs(x, state[0].unsqueeze(0))
        return y, (h.squeeze(0),)

    ours = with_weights(IRNN(3, 5), weights, parallel=parallel)

    assert_same(
        ours,
        run,
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="irnn",
        against="torch: nn.RNN, ReLU",
    )


def test_one_step_by_hand() -> None:
    """W_ih = (3, -5), W_hh = I and no bias: x = 1, h = (1, 2) give relu(4, -3) = (4, 0)."""
    cell = IRNN(1, 2)
    cell.weight_ih.data = torch.tensor([[3.0], [-5.0]])

    y, state = cell.step(torch.ones(1, 1), IRNNState(torch.tensor([[1.0, 2.0]])))

    assert y.tolist() == [[4.0, 0.0]]
    assert state.h.tolist() == [[4.0, 0.0]]


def test_without_inputs_it_holds_what_is_not_negative() -> None:
    start = IRNNState(torch.tensor([[0.5, 2.0, -1.0]]))

    y, _ = unroll(IRNN(2, 3), torch.zeros(50, 1, 2), start)

    assert y[-1].tolist() == [[0.5, 2.0, 0.0]]


def test_it_starts_as_published() -> None:
    cell = IRNN(400, 100)

    assert torch.equal(cell.weight_hh, torch.eye(100))
    assert not cell.bias_ih.any()
    assert not cell.bias_hh.any()
    assert abs(cell.weight_ih.mean().item()) < 5 * 0.001 / 200
    assert cell.weight_ih.std().item() == pytest.approx(0.001, rel=0.02)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(IRNN(x, h)) == h * (x + h) + 2 * h
