import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.min_lstm import MinLSTM
from cellbench.errors import OptionError
from cellbench.unroll import stepwise, unroll

TIMES = [1, 2, 7, 64]
FORMS = pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])


def written_out(weights, x, state, candidate: str):
    """Write the paper's formula out again: the gates themselves, divided by their sum."""
    (h,) = state
    outputs = []
    for x_t in x:
        f, i, c = (
            x_t @ weights[f"{name}.weight"].t() + weights[f"{name}.bias"]
            for name in ("forget", "write", "candidate")
        )
        f, i = 1 / (1 + torch.exp(-f)), 1 / (1 + torch.exp(-i))
        if candidate == "positive":
            c = c.relu() + 0.5 * (c >= 0) + (c < 0) / (1 + torch.exp(-c))
        h = f / (f + i) * h + i / (f + i) * c
        outputs.append(h)
    return torch.stack(outputs), (h,)


@FORMS
@pytest.mark.parametrize("candidate", ["linear", "positive"])
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_formula_of_the_paper(*, time: int, candidate: str, parallel: bool) -> None:
    torch.manual_seed(0)
    cell = MinLSTM(3, 5, candidate=candidate).double()
    weights = dict(cell.named_parameters())

    assert_same(
        with_weights(cell, weights, parallel=parallel),
        lambda x, state: written_out(weights, x, state, candidate),
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="min_lstm",
        against=FORMULAS,
    )


class OfAnotherProject:
    """minGRU-pytorch's minLSTM, which has no biases, with weights drawn for the test."""

    def __init__(self) -> None:
        self.module = foreign("minGRU_pytorch.minLSTM").minLSTM(5).double()
        self.blocks = [draw(5, 5, seed=seed).requires_grad_() for seed in range(3)]

    def call(self, x, state=None):
        """Take `[batch, time, input]`: one step is sequential, more are solved in logarithms."""
        candidate, forget, write = self.blocks
        stacked = {"to_hidden_and_f_i_gate.weight": torch.cat([candidate, forget, write])}
        return torch.func.functional_call(self.module, stacked, (x, state))

    def ours(self, *, parallel: bool):
        candidate, forget, write = self.blocks
        weights = {"candidate.weight": candidate, "forget.weight": forget, "write.weight": write}
        zeros = torch.zeros(5).double()
        biases = {f"{name}.bias": zeros for name in ("forget", "write", "candidate")}
        cell = MinLSTM(5, 5, candidate="positive")
        return with_weights(cell, weights | biases, parallel=parallel)


@FORMS
@pytest.mark.parametrize("time", TIMES)
def test_it_is_the_one_of_another_project(*, time: int, parallel: bool) -> None:
    """Step by step: its parallel form puts a state that is carried in through phi once more."""
    other = OfAnotherProject()

    def theirs(x, state):
        h, outputs = state[0].unsqueeze(1), []
        for x_t in x:
            h = other.call(x_t.unsqueeze(1), h)
            outputs.append(h.squeeze(1))
        return torch.stack(outputs), (h.squeeze(1),)

    assert_same(
        other.ours(parallel=parallel),
        theirs,
        draw(time, 4, 5, seed=3),
        [draw(4, 5, seed=4)],
        other.blocks,
        cell="min_lstm",
        against="minGRU-pytorch: minLSTM",
    )


@pytest.mark.parametrize("time", [2, 7, 64])
def test_it_is_the_parallel_form_of_another_project_where_nothing_is_carried(time: int) -> None:
    other = OfAnotherProject()
    x = draw(time, 4, 5, seed=3)

    y, _ = other.ours(parallel=True)(x, (torch.zeros(4, 5).double(),))

    torch.testing.assert_close(y, other.call(x.transpose(0, 1)).transpose(0, 1))


def by_hand(cell: MinLSTM, *x: float) -> list[float]:
    """Run with f = 3/4, i = 1/4 and c = phi(2 x + 1), so that f' = 3/4; in both forms."""
    for parameter, value in zip(cell.parameters(), (0, LN_3, 0, -LN_3, 2, 1), strict=True):
        torch.nn.init.constant_(parameter, value)
    p, start = cell.project(torch.tensor(x).view(-1, 1, 1)), cell.initial_state(1)
    y, _ = stepwise(cell, p, start)
    torch.testing.assert_close(y, unroll(cell, torch.tensor(x).view(-1, 1, 1))[0])
    return y.flatten().tolist()


def test_two_steps_by_hand() -> None:
    """x = 1: h = 1/4 * 3 = 3/4.   x = 0: h = 3/4 * 3/4 + 1/4 * 1 = 13/16."""
    assert by_hand(MinLSTM(1, 1), 1.0, 0.0) == pytest.approx([3 / 4, 13 / 16])


def test_two_steps_by_hand_of_a_positive_candidate() -> None:
    """x = 1: c = 3 + 1/2 and h = 1/4 * 7/2 = 7/8.

    x = -(ln 3 + 1) / 2: c = sigmoid(-ln 3) = 1/4 and h = 3/4 * 7/8 + 1/4 * 1/4 = 23/32.
    """
    cell = MinLSTM(1, 1, candidate="positive")

    assert by_hand(cell, 1.0, -(math.log(3) + 1) / 2) == pytest.approx([7 / 8, 23 / 32])


def test_gates_that_do_not_sum_to_one_by_hand() -> None:
    """f = 3/4 and i = 1/2, so f' = 3/5 and i' = 2/5: h = 3/5 * 5 + 2/5 * 10 = 7."""
    cell = MinLSTM(1, 1)
    for parameter, value in zip(cell.parameters(), (LN_3, 0, 0, 0, 10, 0), strict=True):
        torch.nn.init.constant_(parameter, value)

    y, _ = stepwise(cell, cell.project(torch.ones(1, 1, 1)), (torch.tensor([[5.0]]),))

    assert y.item() == pytest.approx(7)


def test_gates_that_are_both_all_but_closed_share_as_they_should() -> None:
    """f = e^-200 and i = e^-201, both 0 in float32: f' = sigmoid(1)."""
    cell = MinLSTM(1, 1)
    for parameter, value in zip(cell.parameters(), (0, -200, 0, -201, 0, 0), strict=True):
        torch.nn.init.constant_(parameter, value)

    y, _ = unroll(cell, torch.zeros(1, 1, 1), cell.initial_state(1)._replace(h=torch.ones(1, 1)))

    assert y.item() == pytest.approx(1 / (1 + math.exp(-1)))
    assert all(parameter.isfinite().all() for parameter in torch.autograd.grad(y, cell.forget.bias))


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(MinLSTM(x, h)) == 3 * h * x + 3 * h


def test_a_candidate_that_there_is_not_is_named() -> None:
    with pytest.raises(OptionError, match="candidate must be one of linear, positive"):
        MinLSTM(3, 5, candidate="log")
