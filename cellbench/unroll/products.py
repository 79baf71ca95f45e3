"""Big matrix products on the CPU, by the quicker of the two libraries that torch is linked with.

`torch.mm` in float32 calls the BLAS, and oneDNN is open to it only for lower precisions. On an EPYC
oneDNN took less than half as long, at the same precision; `torch.nn.LSTM` uses it as well.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

BIG = 1 << 20
"""Multiplications from which on the choice of library outweighs a call more."""


@functools.cache
def _onednn() -> Any:
    """Return oneDNN's `(x, weight, bias, ...) -> x @ weight.T`; None if torch was built without."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch's
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return `left @ right`, of two matrices; not differentiable."""
    size = left.shape[0] * left.shape[1] * right.shape[1]
    onednn = _onednn()
    if onednn is None or size < BIG or left.device.type != "cpu" or left.dtype != torch.float32:
        return left @ right
    found: Tensor = onednn(left, right.t(), None, "none", [], "")
    return found


_SCHEMA = "(Tensor left, Tensor right) -> Tensor"


@torch.library.custom_op("cellbench::product", mutates_args=(), schema=_SCHEMA)
def differentiable_product(left: Tensor, right: Tensor) -> Tensor:
    """Return `left @ right`, of two matrices; an operation that graphs can hold."""
    return product(left, right)


@differentiable_product.register_fake
def _(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(left.shape[0], right.shape[1])


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG001 -- as torch calls it
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    left, right = ctx.saved_tensors
    needs_left, needs_right = ctx.needs_input_grad
    d_left = differentiable_product(grad, right.t()) if needs_left else None
    return d_left, differentiable_product(left.t(), grad) if needs_right else None


differentiable_product.register_autograd(_backward, setup_context=_remember)
