"""Solving a linear recurrence for all of time at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def linear_scan(
    a: Float[Tensor, "time *state"], b: Float[Tensor, "time *state"], h: Float[Tensor, "*state"]
) -> Float[Tensor, "time *state"]:
    """Return h_1 ... h_T of h_t = a_t * h_{t-1} + b_t, elementwise, with h_0 = `h`.

    Two steps make one of the same form:

        h_t = (a_t a_{t-1}) * h_{t-2} + (a_t b_{t-1} + b_t)

    so half of time is solved by the same recurrence of half the length, and one more step
    from each gives the other half: O(T) work, O(log T) calls one after the other. Nothing
    is divided and no logarithm is taken: with a in [0, 1] errors do not grow with T, and a
    may be 0.

    Source: Blelloch 1990, "Prefix Sums and Their Applications", CMU-CS-90-190.
    Differs from it: in nothing.

    Args:
        a: What is kept of the state at each step; at least one step.
        b: What is added.
        h: The state before the first step.
    """
    time = len(a)
    if time == 1:
        return torch.addcmul(b, a, h)
    if time % 2:
        most = linear_scan(a[:-1], b[:-1], h)
        return torch.cat([most, torch.addcmul(b[-1:], a[-1:], most[-1:])])
    a_first, a_second = a.view(time // 2, 2, *h.shape).unbind(1)
    b_first, b_second = b.view(time // 2, 2, *h.shape).unbind(1)
    second = linear_scan(a_second * a_first, torch.addcmul(b_second, a_second, b_first), h)
    before = torch.cat([h.unsqueeze(0), second[:-1]])
    first = torch.addcmul(b_first, a_first, before)
    return torch.stack([first, second], dim=1).flatten(0, 1)
