"""Solving a linear recurrence for all of time at once."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Inexact
from torch import Tensor

from cellbench.cells.scan_operator import scan


def linear_scan(
    a: Inexact[Tensor, "time *state"],
    b: Inexact[Tensor, "time *state"],
    h: Inexact[Tensor, "*state"],
) -> Inexact[Tensor, "time *state"]:
    """Return h_1 ... h_T of h_t = a_t * h_{t-1} + b_t, elementwise, with h_0 = `h`.

    Nothing is divided and no logarithm is taken: a may be 0, negative or complex, and with
    |a| <= 1 errors do not grow with T. Can be differentiated any number of times.

    Args:
        a: What is kept of the state at each step; at least one step.
        b: What is added.
        h: The state before the first step.
    """
    return scan(*_of_one_type(a, b, h), gated=False)


def gated_scan(
    z: Inexact[Tensor, "time *state"],
    c: Inexact[Tensor, "time *state"],
    h: Inexact[Tensor, "*state"],
) -> Inexact[Tensor, "time *state"]:
    """Return h_1 ... h_T of h_t = (1 - z_t) * h_{t-1} + z_t * c_t, with h_0 = `h`.

    It is `linear_scan(1 - z, z * c, h)` without the tensors in between, which take longer than
    the scan itself: of 24 passes over memory, forward and backward, 9 are left.

    Args:
        z: How much of the state is overwritten at each step; at least one step.
        c: What it is overwritten with.
        h: The state before the first step.
    """
    return scan(*_of_one_type(z, c, h), gated=True)


def _of_one_type(*tensors: Tensor) -> list[Tensor]:
    """Under autocast, what a layer makes has half the width of the state."""
    dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    return [tensor.to(dtype) for tensor in tensors]
