"""The scan as an operator of torch's own kind, `cellbench::scan`.

So autograd, `vmap`, `torch.compile`, tracing, operation counters and CUDA graphs all see one
call, whatever stands behind it. What does is chosen by the device; each has a page of its own:

    host_scan        CPU: one step after the other, in numpy
    triton_scan      CUDA: one pass over memory
    doubling_scan    everything else: plain torch
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any, Protocol, cast, no_type_check, runtime_checkable

import torch
from torch import Tensor

from cellbench.cells import doubling_scan, host_scan


@runtime_checkable
class Form(Protocol):
    """What each of the three pages has."""

    def forward(self, a: Tensor, b: Tensor, h: Tensor, *, gated: bool) -> Tensor: ...

    def backward(
        self, a: Tensor, b: Tensor | None, y: Tensor, h: Tensor, dy: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]: ...


def form_for(tensor: Tensor) -> Form:
    """Return the quickest form for such a tensor."""
    if tensor.device.type == "cpu":
        return host_scan
    if tensor.is_cuda and not tensor.is_complex() and _has_triton():
        return cast("Form", importlib.import_module("cellbench.cells.triton_scan"))
    return doubling_scan


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def scan(a: Tensor, b: Tensor, h: Tensor, *, gated: bool) -> Tensor:
    """Return y_t = keep_t * y_{t-1} + add_t, with y_0 = h.

    Args:
        a: keep; if gated, 1 - keep.
        b: add; if gated, add / a. Of one type with a and h.
        h: The state before the first step.
        gated: Which of the two.
    """
    y: Tensor = _Scan.apply(a, b, h, gated)  # type: ignore[no-untyped-call]  # torch's
    return y


def _forward(a: Tensor, b: Tensor, h: Tensor, gated: bool) -> Tensor:  # noqa: FBT001 -- a schema
    return form_for(b).forward(a, b, h, gated=gated)


def _backward(
    a: Tensor, b: Tensor | None, y: Tensor, h: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return form_for(y).backward(a, b, y, h, dy)


_scan = torch.library.custom_op(
    "cellbench::scan",
    _forward,
    mutates_args=(),
    schema="(Tensor a, Tensor b, Tensor h, bool gated) -> Tensor",
)
_scan_backward = torch.library.custom_op(
    "cellbench::scan_backward",
    _backward,
    mutates_args=(),
    schema="(Tensor a, Tensor? b, Tensor y, Tensor h, Tensor dy) -> (Tensor, Tensor, Tensor)",
)


@_scan.register_fake
def _shape(a: Tensor, b: Tensor, h: Tensor, gated: bool) -> Tensor:  # noqa: FBT001 -- a schema
    del a, h, gated
    return b.new_empty(b.shape)


@_scan_backward.register_fake
def _shapes(
    a: Tensor, b: Tensor | None, y: Tensor, h: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    del a, b, dy
    return y.new_empty(y.shape), y.new_empty(y.shape), h.new_empty(h.shape)


@no_type_check  # torch.compile cannot read through a check at run time
class _Scan(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, h: Tensor, gated: bool) -> Tensor:  # noqa: FBT001 -- torch's
        y: Tensor = _scan(a, b, h, gated)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        a, b, h, gated = inputs
        ctx.save_for_backward(a, b if gated else None, output, h)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        a, b, y, h = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated, too
            return *doubling_scan.gradients(a, b, y, h, dy, scan=scan), None
        return *_scan_backward(a, b, y, h, dy), None


@_scan.register_vmap
def _stacked(info: Any, dims: tuple[int | None, ...], *given: Any) -> tuple[Tensor, int]:
    a, b, h, gated = given
    a, b = (_with_stack(info, dim, t, 1) for dim, t in zip(dims, (a, b), strict=False))
    return _scan(a, b, _with_stack(info, dims[2], h, 0), gated), 1


@_scan_backward.register_vmap
def _stacked_backward(
    info: Any, dims: tuple[int | None, ...], *given: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    places = (1, 1, 1, 0, 1)
    a, b, y, h, dy = (
        None if tensor is None else _with_stack(info, dim, tensor, place)
        for dim, tensor, place in zip(dims, given, places, strict=True)
    )
    return _scan_backward(a, b, y, h, dy), (1, 1, 0)


def _with_stack(info: Any, dim: int | None, tensor: Tensor, place: int) -> Tensor:
    """Return the tensor with the axis of a stack at `place`: after time, before the rest."""
    if dim is not None:
        return tensor.movedim(dim, place)
    return tensor.unsqueeze(place).expand(
        *tensor.shape[:place], info.batch_size, *tensor.shape[place:]
    )
