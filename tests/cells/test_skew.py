import math

import pytest
import torch
from cell_parity import draw, foreign

from cellbench.cells.skew import antisymmetric, exponential, free_entries


def test_an_antisymmetric_matrix_by_hand() -> None:
    a = antisymmetric(torch.tensor([1.0, 2.0, 3.0]), 3)

    assert a.tolist() == [[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]
    assert free_entries(3) == 3
    assert antisymmetric(torch.zeros(0), 1).tolist() == [[0]]


def test_the_exponential_of_a_block_is_a_rotation() -> None:
    s = math.pi / 6

    q = exponential(antisymmetric(torch.tensor([s], dtype=torch.float64), 2))

    half, root = 1 / 2, math.sqrt(3) / 2
    torch.testing.assert_close(q.tolist(), [[root, half], [-half, root]], rtol=0, atol=1e-13)


@pytest.mark.parametrize("norm", [1e-6, 1.0, 30.0, 256.0])
def test_the_exponential_is_the_one_of_scipy(norm: float) -> None:
    linalg = foreign("scipy.linalg")
    a = draw(12, 12)  # of any kind, so that symmetric terms are seen; e^a must not explode
    a = a - a.mT + 0.01 * (a + a.mT)
    a = a / torch.linalg.matrix_norm(a, 2) * norm

    right = torch.from_numpy(linalg.expm(a.numpy()))

    torch.testing.assert_close(exponential(a), right, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("size", [64, 128])
def test_the_exponential_is_orthogonal(size: int, dtype: torch.dtype, tolerance: float) -> None:
    q = exponential(antisymmetric(draw(free_entries(size)).to(dtype), size))

    assert q.dtype == dtype
    error = torch.linalg.matrix_norm(q @ q.mT - torch.eye(size, dtype=dtype), 2)
    assert error < tolerance
