"""The parts of finding a place in a memory, each held to what only one answer is right for."""

import math

import pytest
import torch
from cell_parity import draw

from cellbench.cells.addressing import by_content, cosine, sharpened, shifted, written


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.softmax(draw(*shape, seed=seed), dim=-1)


def test_a_cosine_is_that_of_torch() -> None:
    memory, keys = draw(3, 5, 4), draw(3, 2, 4, seed=1)

    expected = torch.cosine_similarity(memory.unsqueeze(1), keys.unsqueeze(2), dim=-1)

    torch.testing.assert_close(cosine(memory, keys), expected, rtol=0, atol=1e-5)


def test_a_cosine_adds_a_millionth_to_each_squared_length() -> None:
    """Key (3, 4), slot (0, 0.002): 0.008 / sqrt((25 + 1e-6) (4e-6 + 1e-6))."""
    slot, key = torch.tensor([[[0, 0.002], [3, 4]]], dtype=torch.float64).split(1, dim=1)
    found = cosine(slot, key)

    assert found.item() == pytest.approx(0.008 / math.sqrt(25.000001 * 5e-6), rel=1e-12)


def test_zeros_have_a_cosine_and_a_gradient() -> None:
    memory, keys = (
        torch.zeros(2, 3, 4, requires_grad=True),
        torch.zeros(2, 1, 4, requires_grad=True),
    )

    found = cosine(memory, keys)
    found.sum().backward()

    assert (found == 0).all()
    assert memory.grad.isfinite().all()
    assert keys.grad.isfinite().all()


def test_content_is_uniform_at_strength_0_and_one_slot_at_a_large_one() -> None:
    memory = draw(2, 5, 4)
    keys = memory[:, [3]]

    uniform = by_content(memory, keys, torch.zeros(2, 1).double())
    sure = by_content(memory, keys, torch.full((2, 1), 1e6).double())

    torch.testing.assert_close(uniform, torch.full((2, 1, 5), 0.2).double())
    torch.testing.assert_close(sure[:, 0], torch.eye(5)[3].double().expand(2, 5))


def test_each_head_has_a_strength_of_its_own() -> None:
    memory, keys, strengths = draw(2, 5, 4), draw(2, 2, 4, seed=1), draw(2, 2, seed=2)
    powers = (cosine(memory, keys) * torch.stack([strengths] * 5, dim=2)).exp()

    expected = powers / powers.sum(2, keepdim=True)

    torch.testing.assert_close(by_content(memory, keys, strengths), expected)


@pytest.mark.parametrize("r", [0, 1, 2])
def test_a_sure_shift_is_a_roll(r: int) -> None:
    w = weights(2, 3, 6)
    for offset in range(-r, r + 1):
        s = torch.eye(2 * r + 1)[offset + r].double().expand(2, 3, -1)

        assert torch.equal(shifted(w, s), torch.roll(w, offset, dims=-1))


def test_an_unsure_shift_is_a_mean() -> None:
    w = torch.tensor([[[1.0, 0, 0, 0]]])

    found = shifted(w, torch.tensor([[[0.5, 0.2, 0.3]]]))

    torch.testing.assert_close(found, torch.tensor([[[0.2, 0.3, 0, 0.5]]]))


def test_sharpening_is_a_power() -> None:
    w = weights(2, 3, 6)
    gamma = 1 + draw(2, 3).abs()

    torch.testing.assert_close(sharpened(w, torch.ones(2, 3).double()), w)
    for b in range(2):
        for head in range(3):
            powers = w[b, head] ** gamma[b, head]
            torch.testing.assert_close(
                sharpened(w, gamma)[b, head], powers / powers.sum(), rtol=1e-12, atol=0
            )


def test_what_is_below_0_has_a_power_too() -> None:
    found = sharpened(torch.tensor([[[0.5, 0.25, -0.25]]]), torch.full((1, 1), 2.5))

    torch.testing.assert_close(found.sum().item(), 1.0)
    assert found[0, 0, 2] == 0


def test_without_end_it_leaves_one_slot() -> None:
    w = weights(2, 3, 6)

    found = sharpened(w, torch.full((2, 3), 1e6).double())

    assert torch.equal(found, torch.nn.functional.one_hot(w.argmax(-1), 6).double())


def test_a_high_power_of_many_small_weights_is_still_a_distribution() -> None:
    """(1 / 128)^40 is 0 in float32; zeros, and so their powers, have a gradient."""
    w = torch.cat([torch.full((1, 1, 128), 1 / 128), torch.zeros(1, 1, 1)], dim=-1).requires_grad_()
    gamma = torch.full((1, 1), 40.0, requires_grad=True)

    found = sharpened(w, gamma)
    found[..., 3].sum().backward()

    torch.testing.assert_close(found.detach(), w.detach())
    assert w.grad.isfinite().all()
    assert gamma.grad.isfinite().all()


def test_its_gradient_is_that_of_the_plain_formula() -> None:
    """Although the largest weight, by which it divides, is taken for a constant."""
    w, gamma = weights(2, 3, 6).requires_grad_(), (1 + draw(2, 3).abs()).requires_grad_()
    cotangent = draw(2, 3, 6, seed=3)
    powers = w ** gamma.unsqueeze(-1)
    plain = powers / powers.sum(-1, keepdim=True)

    expected = torch.autograd.grad((plain * cotangent).sum(), [w, gamma])
    found = torch.autograd.grad((sharpened(w, gamma) * cotangent).sum(), [w, gamma])

    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_erasing_all_and_writing_at_one_slot_overwrites_it() -> None:
    memory, add = draw(2, 5, 4), draw(2, 1, 4, seed=1)
    w = torch.eye(5)[3].double().expand(2, 1, 5)

    found = written(memory, w, torch.ones(2, 1, 4).double(), add)

    assert torch.equal(found[:, 3], add[:, 0])
    assert torch.equal(found[:, [0, 1, 2, 4]], memory[:, [0, 1, 2, 4]])


def test_two_heads_erase_before_either_adds() -> None:
    """Slot 8, weights 1/2 and 1/4, erased by 1/2 and 1: 8 * 3/4 * 3/4 + 1/2 * 2 + 1/4 * 4."""
    w, erase = torch.tensor([[[0.5], [0.25]]]), torch.tensor([[[0.5], [1.0]]])

    found = written(torch.tensor([[[8.0]]]), w, erase, torch.tensor([[[2.0], [4.0]]]))

    assert found.item() == 8 * 9 / 16 + 2
