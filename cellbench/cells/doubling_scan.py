"""Linear recurrences in plain torch, on any device: O(T) work, O(log T) calls after each other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Scan = Callable[..., Tensor]
"""`(a, b, h, *, gated) -> y`, as `forward` below."""


def forward(a: Tensor, b: Tensor, h: Tensor, *, gated: bool) -> Tensor:
    """Return y_t = keep_t * y_{t-1} + add_t, with y_0 = h.

    Args:
        a: keep; if gated, 1 - keep.
        b: add; if gated, add / a.
        h: The state before the first step.
        gated: Which of the two.
    """
    return _double(1 - a, a * b, h) if gated else _double(a, b, h)


def backward(
    a: Tensor, b: Tensor | None, y: Tensor, h: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and h.

    Args:
        a: As in `forward`.
        b: As in `forward` if gated, else None.
        y: What `forward` returned.
        h: As in `forward`.
        dy: The gradient of y.
    """
    return gradients(a, b, y, h, dy, scan=forward)


def gradients(
    a: Tensor, b: Tensor | None, y: Tensor, h: Tensor, dy: Tensor, *, scan: Scan
) -> tuple[Tensor, Tensor, Tensor]:
    """Do `backward` by `scan` and products, so that it can be differentiated as they can.

    The gradient g_t of add_t is what arrives there, and what comes back from the step after it:

        g_t = dy_t + keep_{t+1} * g_{t+1}

    which is a scan of reversed time. A complex factor goes back as its conjugate.
    """
    keep = (a if b is None else 1 - a).conj()
    after = torch.cat([keep[:1], keep[1:].flip(0)])  # the first meets a state of 0
    g = scan(after, dy.flip(0), torch.zeros_like(h), gated=False).flip(0)
    before = torch.cat([h.unsqueeze(0), y[:-1]]).conj()
    dh = keep[0] * g[0]
    return (g * before, g, dh) if b is None else (g * (b.conj() - before), g * a.conj(), dh)


def _double(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Return the solution of h_t = a_t * h_{t-1} + b_t.

    Two steps make one of the same form:

        h_t = (a_t a_{t-1}) * h_{t-2} + (a_t b_{t-1} + b_t)

    so half of time is solved by the same recurrence of half the length, and one more step
    from each gives the other half.

    Source: Blelloch 1990, "Prefix Sums and Their Applications", CMU-CS-90-190.
    Differs from it: in nothing.
    """
    time = len(a)
    if time == 1:
        return torch.addcmul(b, a, h)
    if time % 2:
        most = _double(a[:-1], b[:-1], h)
        return torch.cat([most, torch.addcmul(b[-1:], a[-1:], most[-1:])])
    a_first, a_second = a.reshape(time // 2, 2, *h.shape).unbind(1)
    b_first, b_second = b.reshape(time // 2, 2, *h.shape).unbind(1)
    second = _double(a_second * a_first, torch.addcmul(b_second, a_second, b_first), h)
    before = torch.cat([h.unsqueeze(0), second[:-1]])
    first = torch.addcmul(b_first, a_first, before)
    return torch.stack([first, second], dim=1).flatten(0, 1)
