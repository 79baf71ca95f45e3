import math

import pytest
import torch
from cell_parity import assert_same, draw, foreign, parameter_count, with_weights
from foreign_cells import random_weights, set_to

from cellbench.cells.exprnn import ExpRNN, ExpRNNState
from cellbench.errors import OptionError
from cellbench.unroll import unroll


class ScipyExponential(torch.autograd.Function):
    """e^A by scipy; its derivative by scipy, too."""

    @staticmethod
    def forward(ctx, a):
        ctx.a = a.detach().numpy()
        return torch.from_numpy(foreign("scipy.linalg").expm(ctx.a))

    @staticmethod
    def backward(ctx, given):
        linalg = foreign("scipy.linalg")
        return torch.from_numpy(linalg.expm_frechet(ctx.a.T, given.numpy(), compute_expm=False))


def written_out(weights, x, state):
    """Write the paper's formulas out again: a unit at a time."""
    size = len(weights["threshold"])
    entries = iter(weights["upper"])
    above = {(i, j): next(entries) for i in range(size) for j in range(i + 1, size)}
    nothing = torch.zeros((), dtype=x.dtype)
    a = torch.stack(
        [
            torch.stack(
                [above.get((i, j), nothing) - above.get((j, i), nothing) for j in range(size)]
            )
            for i in range(size)
        ]
    )
    q = ScipyExponential.apply(a)
    (h,) = state
    outputs = []
    for x_t in x:
        pre = [h @ q[i] + x_t @ weights["weight_x"][i] for i in range(size)]
        h = torch.stack(
            [
                torch.where(pre[i] < 0, -1.0, 1.0)
                * (pre[i].abs() + weights["threshold"][i]).clamp(min=0)
                for i in range(size)
            ],
            dim=1,
        )
        outputs.append(h)
    return torch.stack(outputs), (h,)


@pytest.mark.parametrize("time", [1, 2, 7, 64])
def test_it_is_the_formula_with_the_exponential_of_scipy(time: int) -> None:
    cell = ExpRNN(3, 5)
    weights = random_weights(cell)

    def theirs(x, state):
        return written_out(weights, x, state)

    assert_same(
        with_weights(cell, weights),
        theirs,
        draw(time, 4, 3),
        [draw(4, 5, seed=1)],
        weights.values(),
        cell="exprnn",
        against="scipy: linalg.expm and its derivative",
    )


def test_two_steps_by_hand() -> None:
    """A quarter turn: Q = (0 1; -1 0).

    h = (2, 3), x = 1: a = (3 + 1, -2 - 1) = (4, -3);     |a| + b = (3, 7/2), h = (3, -7/2)
    x = 0:             a = (-7/2, -3);                    |a| + b = (5/2, 7/2), h = (-5/2, -7/2)
    """
    values = {"upper": [math.pi / 2], "weight_x": [1, -1], "threshold": [-1, 1 / 2]}
    cell = set_to(ExpRNN(1, 2), values)
    x = torch.tensor([1.0, 0.0]).double().view(2, 1, 1)

    y, _ = unroll(cell, x, ExpRNNState(torch.tensor([[2.0, 3.0]]).double()))

    torch.testing.assert_close(y[:, 0].tolist(), [[3.0, -3.5], [-2.5, -3.5]])


def test_what_is_below_its_threshold_is_0() -> None:
    """a = (1, -1) and b = (-2, 2)."""
    cell = set_to(ExpRNN(1, 2), {"upper": [0], "weight_x": [1, -1], "threshold": [-2, 2]})

    y, _ = unroll(cell, torch.ones(1, 1, 1).double())

    assert y[0, 0].tolist() == [0, -3]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_its_matrix_stays_orthogonal_while_it_learns(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    cell = ExpRNN(3, 64).to(dtype)
    start = cell.rotation().detach()
    x, wanted = torch.randn(9, 8, 3, dtype=dtype), torch.rand(9, 8, 64, dtype=dtype)
    optimizer = torch.optim.Adam(cell.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        (unroll(cell, x)[0] - wanted).square().mean().backward()
        optimizer.step()
    q = cell.rotation().detach()

    error = torch.linalg.matrix_norm(q @ q.mT - torch.eye(64, dtype=dtype), 2)
    assert error < tolerance
    assert (q - start).abs().max() > 0.1  # it did learn


def test_a_state_keeps_its_length_for_a_thousand_steps() -> None:
    """Without input, and with a threshold of 0; and so does the gradient that goes back."""
    torch.manual_seed(0)
    cell = ExpRNN(1, 16).double()
    torch.nn.init.zeros_(cell.threshold)
    start = draw(1, 16).requires_grad_()

    _, last = unroll(cell, torch.zeros(1000, 1, 1).double(), ExpRNNState(start))
    given = draw(1, 16, seed=1)
    (gradient,) = torch.autograd.grad(last.h, start, given)

    torch.testing.assert_close(last.h.norm(), start.norm())
    torch.testing.assert_close(gradient.norm(), given.norm())


@pytest.mark.parametrize("init", ["henaff", "cayley"])
def test_it_starts_with_a_rotation_in_each_plane(init: str) -> None:
    torch.manual_seed(0)
    cell = ExpRNN(3, 400, init=init).double()
    q = cell.rotation().detach()
    blocks = torch.stack([q[n : n + 2, n : n + 2] for n in range(0, 400, 2)])
    angles = torch.atan2(blocks[:, 0, 1], blocks[:, 0, 0])

    torch.testing.assert_close(q, torch.block_diag(*blocks))
    torch.testing.assert_close(blocks[:, 0, 0], blocks[:, 1, 1])
    torch.testing.assert_close(blocks[:, 0, 1], -blocks[:, 1, 0])
    if init == "henaff":
        uniform = (angles + math.pi) / (2 * math.pi)
    else:
        uniform = 2 * torch.atan(-angles) / (math.pi / 2)
    assert 0 <= uniform.min() < 0.03
    assert 0.97 < uniform.max() <= 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.05)


def test_an_odd_size_leaves_one_unit_where_it_is() -> None:
    q = ExpRNN(3, 5).rotation()

    assert q[4].tolist() == [0, 0, 0, 0, 1]


def test_its_other_weights_start_as_published() -> None:
    torch.manual_seed(0)
    cell = ExpRNN(50, 200)

    assert cell.weight_x.std().item() == pytest.approx(math.sqrt(2 / 50), rel=0.03)
    assert cell.threshold.abs().max() <= 0.01
    assert cell.threshold.std().item() == pytest.approx(0.01 / math.sqrt(3), rel=0.1)


def test_parameter_count() -> None:
    assert parameter_count(ExpRNN(7, 11)) == 11 * 10 / 2 + 11 * 7 + 11


def test_a_bad_option_is_named() -> None:
    with pytest.raises(OptionError, match="init must be one of henaff, cayley"):
        ExpRNN(3, 4, init="haar")
