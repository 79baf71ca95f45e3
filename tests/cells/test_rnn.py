import pytest
import torch
from cell_parity import LN_3, assert_same, draw, parameter_count, with_weights
from torch import nn

from cellbench.cells.rnn import RNN, RNNState
from cellbench.unroll import stepwise


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_rnn_of_torch(*, time: int, nonlinearity: str, parallel: bool) -> None:
    theirs = nn.RNN(3, 5, nonlinearity=nonlinearity, dtype=torch.float64)
    weights = {name.removesuffix("_l0"): weight for name, weight in theirs.named_parameters()}

    def run(x, state):
        y, h = theirs(x, state[0].unsqueeze(0))
        return y, (h.squeeze(0),)

    ours = with_weights(RNN(3, 5, nonlinearity=nonlinearity), weights, parallel=parallel)

    assert_same(
        ours,
        run,
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="rnn",
        against="torch: nn.RNN",
    )


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_one_step_by_hand(nonlinearity: str) -> None:
    """W_ih = ln 3, b_ih = -2 ln 3, W_hh = ln 3 / 4, b_hh = 3 ln 3.

    x = 1, h = -6: ln 3 (1 - 2 - 6/4 + 3) = ln 3 / 2, of which tanh is 1/2 and relu itself.
    x = -2, h = -6: ln 3 (-2 - 2 - 6/4 + 3) = -5/2 ln 3, of which relu is 0.
    """
    cell = RNN(1, 1, nonlinearity=nonlinearity)
    for parameter, value in zip(cell.parameters(), (1, 1 / 4, -2, 3), strict=True):
        nn.init.constant_(parameter, value * LN_3)
    start = RNNState(torch.tensor([[-6.0], [-6.0]]))

    y, _ = cell.step(torch.tensor([[1.0], [-2.0]]), start)

    if nonlinearity == "tanh":
        torch.testing.assert_close(y[0].item(), 1 / 2)
    else:
        torch.testing.assert_close(y.flatten(), torch.tensor([LN_3 / 2, 0.0]))


def test_a_seed_gives_the_weights_of_torch() -> None:
    torch.manual_seed(3)
    ours = RNN(3, 5)
    torch.manual_seed(3)
    theirs = nn.RNN(3, 5)

    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()), rtol=0, atol=0)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(RNN(x, h)) == h * (x + h) + 2 * h


def test_parallel_gives_the_last_state_of_step() -> None:
    cell = RNN(3, 5).double()
    p, start = draw(6, 2, 3), cell.initial_state(2)

    torch.testing.assert_close(cell.parallel(p, start), stepwise(cell, p, start))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with cuDNN")
def test_cudnn_need_not_copy_the_weights() -> None:
    """It would warn, and a warning is an error here; also in eval mode, with gradients."""
    cell = RNN(3, 5).cuda().eval()

    y, _ = cell.parallel(torch.randn(6, 2, 3, device="cuda"), cell.initial_state(2))
    y.sum().backward()

    assert len({parameter.untyped_storage().data_ptr() for parameter in cell.parameters()}) == 1
