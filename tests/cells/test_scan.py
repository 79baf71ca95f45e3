import pytest
import torch
from cell_parity import draw

from cellbench.cells.scan import linear_scan


def loop(a, b, h):
    states = []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)


def test_three_steps_by_hand() -> None:
    """2 * 1 + 3 = 5,  4 * 5 - 1 = 19,  0 * 19 + 7 = 7."""
    a, b, h = torch.tensor([2.0, 4.0, 0.0]), torch.tensor([3.0, -1.0, 7.0]), torch.tensor(1.0)

    assert linear_scan(a, b, h).tolist() == [5, 19, 7]


@pytest.mark.parametrize("time", [1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 33, 100])
def test_it_is_the_loop_in_values_and_gradients(time: int) -> None:
    a, b, h = draw(time, 2, 3), draw(time, 2, 3, seed=1), draw(2, 3, seed=2)
    cotangent = draw(time, 2, 3, seed=3)
    given = [tensor.requires_grad_() for tensor in (a.sigmoid().detach(), b, h)]
    fast, slow = linear_scan(*given), loop(*given)

    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(fast, given, cotangent),
        torch.autograd.grad(slow, given, cotangent),
        rtol=1e-10,
        atol=1e-12,
    )


@pytest.mark.parametrize("time", [3, 4])
def test_it_can_be_differentiated_twice(time: int) -> None:
    a, b, h = draw(time, 2), draw(time, 2, seed=1), draw(2, seed=2)

    torch.autograd.gradgradcheck(
        linear_scan, [tensor.requires_grad_() for tensor in (a.sigmoid().detach(), b, h)]
    )


def test_single_precision_is_enough_over_thousands_of_steps() -> None:
    """Also where nothing or everything is kept, which division and logarithms do not bear."""
    a = draw(4096, 30).sigmoid().float()
    a[:, :10] = 1 - a[:, :10] / 1000
    a[::7, 10:15] = 0
    a[:, 15:20] = 1
    b, h = draw(4096, 30, seed=1).float(), draw(30, seed=2).float()
    b = (1 - a) * b
    a.requires_grad_()

    states = linear_scan(a, b, h)
    states.sum().backward()

    exact = loop(a.detach().double(), b.double(), h.double())
    torch.testing.assert_close(states.double(), exact, rtol=1e-5, atol=1e-5)
    assert a.grad.isfinite().all()
