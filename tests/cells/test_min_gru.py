import math

import pytest
import torch
from cell_parity import FORMULAS, LN_3, assert_same, draw, foreign, parameter_count, with_weights

from cellbench.cells.min_gru import MinGRU
from cellbench.unroll import stepwise, unroll


def written_out(weights, x, state, candidate: str):
    """Write the paper's formula out again: one step after the other."""
    (h,) = state
    outputs = []
    for x_t in x:
        z = 1 / (1 + torch.exp(-(x_t @ weights["gate.weight"].t() + weights["gate.bias"])))
        c = x_t @ weights["candidate.weight"].t() + weights["candidate.bias"]
        if candidate == "positive":
            c = c.relu() + 0.5 * (c >= 0) + (c < 0) / (1 + torch.exp(-c))
        h = h + z * (c - h)
        outputs.append(h)
    return torch.stack(outputs), (h,)


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
@pytest.mark.parametrize("candidate", ["linear", "positive"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_of_the_paper(*, time: int, candidate: str, parallel: bool) -> None:
    torch.manual_seed(0)
    cell = MinGRU(3, 5, candidate=candidate).double()
    weights = dict(cell.named_parameters())
    ours = with_weights(cell, weights, parallel=parallel)

    def theirs(x, state):
        return written_out(weights, x, state, candidate)

    assert_same(
        ours,
        theirs,
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="min_gru",
        against=FORMULAS,
    )


@pytest.mark.parametrize("parallel", [False, True], ids=["step", "parallel"])
@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_one_of_another_project(*, time: int, parallel: bool) -> None:
    """Which has no biases, solves the recurrence in logarithms, and needs a state above 0."""
    module = foreign("minGRU_pytorch").minGRU(5).double()
    gate, candidate = draw(5, 5).requires_grad_(), draw(5, 5, seed=1).requires_grad_()
    weights = {"gate.weight": gate, "candidate.weight": candidate}
    biases = {"gate.bias": torch.zeros(5).double(), "candidate.bias": torch.zeros(5).double()}
    ours = with_weights(MinGRU(5, 5, candidate="positive"), weights | biases, parallel=parallel)

    def theirs(x, state):
        stacked = {"to_hidden_and_gate.weight": torch.cat([candidate, gate])}
        before = state[0].unsqueeze(1)
        y = torch.func.functional_call(module, stacked, (x.transpose(0, 1), before))
        return y.transpose(0, 1), (y[:, -1],)

    assert_same(
        ours,
        theirs,
        draw(time, 4, 5, seed=2),
        [draw(4, 5, seed=3).exp()],
        [gate, candidate],
        cell="min_gru",
        against="minGRU-pytorch: minGRU",
    )


def by_hand(cell: MinGRU, *x: float) -> list[float]:
    """Run with W_z = 0, b_z = ln 3, so that z = 3/4, and c = phi(2 x + 1); in both forms."""
    for parameter, value in zip(cell.parameters(), (0, LN_3, 2, 1), strict=True):
        torch.nn.init.constant_(parameter, value)
    p, start = cell.project(torch.tensor(x).view(-1, 1, 1)), cell.initial_state(1)
    y, _ = stepwise(cell, p, start)
    torch.testing.assert_close(y, unroll(cell, torch.tensor(x).view(-1, 1, 1))[0])
    return y.flatten().tolist()


def test_two_steps_by_hand() -> None:
    """x = 1: h = 3/4 * 3 = 9/4.   x = 0: h = 1/4 * 9/4 + 3/4 * 1 = 21/16."""
    assert by_hand(MinGRU(1, 1), 1.0, 0.0) == pytest.approx([9 / 4, 21 / 16])


def test_two_steps_by_hand_of_a_positive_candidate() -> None:
    """x = 1: c = 3 + 1/2 and h = 3/4 * 7/2 = 21/8.

    x = -(ln 3 + 1) / 2: c = sigmoid(-ln 3) = 1/4 and h = 1/4 * 21/8 + 3/4 * 1/4 = 27/32.
    """
    cell = MinGRU(1, 1, candidate="positive")

    assert by_hand(cell, 1.0, -(math.log(3) + 1) / 2) == pytest.approx([21 / 8, 27 / 32])


def test_parameter_count() -> None:
    x, h = 7, 11

    assert parameter_count(MinGRU(x, h)) == 2 * h * x + 2 * h
