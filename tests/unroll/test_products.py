"""A big product is the same product, whichever library makes it."""

from __future__ import annotations

import pytest
import torch

from cellbench.unroll import products
from cellbench.unroll.products import differentiable_product, product


@pytest.mark.parametrize("sizes", [(3, 4, 5), (300, 64, 70)])
@pytest.mark.parametrize("turned", [False, True])
def test_it_is_the_product(sizes, turned) -> None:
    m, k, n = sizes
    left = torch.randn(k, m).T if turned else torch.randn(m, k)
    right = torch.randn(n, k).T if turned else torch.randn(k, n)

    torch.testing.assert_close(product(left, right), left @ right, rtol=1e-4, atol=1e-4)


def test_its_gradients_are_those_of_the_product() -> None:
    left = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    right = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(differentiable_product, (left, right))
    torch.library.opcheck(differentiable_product, (left.float().detach(), right.float().detach()))


def test_without_onednn_it_is_torch(monkeypatch) -> None:
    left, right = torch.randn(300, 64), torch.randn(64, 70)
    monkeypatch.setattr(products, "_onednn", lambda: None)

    assert torch.equal(product(left, right), left @ right)
