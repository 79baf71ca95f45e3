"""Linear recurrences on the CPU: one step after the other, in numpy.

Long sequences of real numbers go to `compiled_scan` where there is a compiler; what is here is for
all others, and what that form has to agree with.

T steps are 2T calls on rows of batch x features numbers. On rows so small what counts is the
cost of a call, and numpy's is a third of torch's. Time is taken in stretches that stay in the
cache: all that is not the recurrence (1 - z, z * c, the products of the gradient) is done for
many steps at once, and each number comes from memory once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cellbench.cells import compiled_scan

Rows = NDArray[Any]
"""`[time, features]`: all that is not time is one axis."""

STRETCH = 2**17
"""Numbers of one tensor in a stretch; in the backward pass six tensors take part. By measurement:
2**14 costs a third more, and all of time at once a fifth."""


@np.errstate(all="ignore")  # an infinity is a result, as it is in torch
def forward(a: Tensor, b: Tensor, h: Tensor, *, gated: bool) -> Tensor:
    """Return y_t = keep_t * y_{t-1} + add_t, with y_0 = h.

    Args:
        a: keep; if gated, 1 - keep.
        b: add; if gated, add / a.
        h: The state before the first step.
        gated: Which of the two.
    """
    y = torch.empty(b.shape, dtype=_carried(b))
    kept, added, states, first = _rows(a), _rows(b), _rows(y), _row(h)
    form = compiled_scan.forward if compiled_scan.usable(states, kept, added, first) else _forward
    form(kept, added, first, states, gated=gated)
    return y.to(b.dtype)


@np.errstate(all="ignore")
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
    da, db = (torch.empty(y.shape, dtype=_carried(y)) for _ in range(2))
    dh = torch.zeros(h.shape, dtype=_carried(y))
    given = (
        _rows(a.conj()),
        None if b is None else _rows(b.conj()),
        _rows(y.conj()),
        _row(h.conj()),
        _rows(dy),
    )
    made = _rows(da), _rows(db), _row(dh)
    usable = compiled_scan.usable(*made, *(each for each in given if each is not None))
    form = compiled_scan.backward if usable else _backward
    form(given, made)
    return da.to(y.dtype), db.to(y.dtype), dh.to(y.dtype)


def _forward(kept: Rows, added: Rows, last: Rows, states: Rows, *, gated: bool) -> None:
    for now in _stretches(states):
        keep, state = kept[now], states[now]
        if gated:
            np.multiply(keep, added[now], out=state)
            keep = 1 - keep
        else:
            state[:] = added[now]
        last = _recur(keep, state, last)


def _backward(given: tuple[Rows, Rows | None, Rows, Rows, Rows], made: tuple[Rows, ...]) -> None:
    kept, added, states, first, arriving = given
    changes, gradients, carry = made
    for now in reversed(list(_stretches(states))):
        keep, change, g = kept[now], changes[now], gradients[now]
        g[:] = arriving[now]
        _recur_back(keep if added is None else 1 - keep, g, carry)
        before = _before(now, states, first)
        if added is None:
            np.multiply(before, g, out=change)
        else:
            np.subtract(added[now], before, out=change)
            np.multiply(change, g, out=change)
            np.multiply(keep, g, out=g)


def _recur(keep: Rows, states: Rows, last: Rows) -> Rows:
    """Add to each of `states` what is kept of the one before it; return the last of them."""
    kept = np.empty_like(last)
    multiply, add = np.multiply, np.add  # names and keywords are a quarter of a small step
    for keep_t, state in zip(keep, states, strict=True):
        multiply(keep_t, last, kept)
        add(state, kept, state)
        last = state
    return last


def _recur_back(keep: Rows, gradients: Rows, carry: Rows) -> None:
    """Add to each of `gradients` what comes back from the step after it.

    Args:
        keep: As in `_recur`, and like it in the order of time.
        gradients: What arrives at each state; then its whole gradient.
        carry: What comes back from the step after the last; then what goes back from the first.
    """
    multiply, add = np.multiply, np.add
    for keep_t, g in zip(keep[::-1], gradients[::-1], strict=True):
        add(g, carry, g)
        multiply(keep_t, g, carry)


def _before(now: slice, states: Rows, first: Rows) -> Rows:
    """Return the states that the steps `now` started from."""
    if now.start:
        return states[now.start - 1 : now.stop - 1]
    return np.concatenate([first[np.newaxis], states[: now.stop - 1]])


def _stretches(rows: Rows) -> Iterator[slice]:
    time, width = rows.shape
    stretch = max(1, STRETCH // max(1, width))
    for start in range(0, time, stretch):
        yield slice(start, min(start + stretch, time))


def _carried(tensor: Tensor) -> torch.dtype:
    """Half precision is carried in single: numpy has no bfloat16, and one adds up thousands."""
    half = tensor.dtype in {torch.float16, torch.bfloat16}
    return torch.float32 if half else tensor.dtype


def _rows(tensor: Tensor) -> Rows:
    """Return the numbers themselves where they lie in order, a copy where they do not."""
    plain = tensor.detach().to(_carried(tensor)).resolve_conj()
    rows: Rows = plain.numpy().reshape(len(tensor), -1)
    return rows


def _row(tensor: Tensor) -> Rows:
    row: Rows = _rows(tensor.unsqueeze(0))[0]
    return row
