import pytest
import torch
from cell_parity import LN_3, assert_same, draw, parameter_count, with_weights
from torch import nn

from cellbench.cells.gru import GRU, GRUState


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_gru_of_torch(*, time: int, parallel: bool) -> None:
    theirs = nn.GRU(3, 5, dtype=torch.float64)
    weights = {name.removesuffix("_l0"): weight for name, weight in theirs.named_parameters()}

    def run(x, state):
        y, h = theirs(x, state[0].unsqueeze(0))
        return y, (h.squeeze(0),)

    ours = with_weights(GRU(3, 5), weights, parallel=parallel)

    assert_same(
        ours,
        run,
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="gru",
        against="torch: nn.GRU",
    )


def test_one_step_by_hand() -> None:
    """x = 1, h = 2, with W_ih, W_hh, b_ih, b_hh in units of ln 3:

    r: 1 + 2 (1/2)  - 2 + 1  =  1                      sigmoid 3/4
    z: 1 + 2 (-1/2) - 2 + 1  = -1                      sigmoid 1/4
    n: 1 - 5/4 + 3/4 (2 (1/4) + 1/2)  =  1/2           tanh 1/2

    h = 3/4 * 1/2 + 1/4 * 2 = 7/8.
    """
    cell = GRU(1, 1)
    cell.weight_ih.data = torch.tensor([[1.0], [1.0], [1.0]]) * LN_3
    cell.weight_hh.data = torch.tensor([[1 / 2], [-1 / 2], [1 / 4]]) * LN_3
    cell.bias_ih.data = torch.tensor([-2.0, -2.0, -5 / 4]) * LN_3
    cell.bias_hh.data = torch.tensor([1.0, 1.0, 1 / 2]) * LN_3

    y, (h,) = cell.step(torch.ones(1, 1), GRUState(torch.tensor([[2.0]])))

    torch.testing.assert_close([y.item(), h.item()], [7 / 8, 7 / 8])


def test_a_seed_gives_the_weights_of_torch() -> None:
    torch.manual_seed(3)
    ours = GRU(3, 5)
    torch.manual_seed(3)
    theirs = nn.GRU(3, 5)

    torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()), rtol=0, atol=0)


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(GRU(x, h)) == 3 * h * (x + h) + 6 * h
