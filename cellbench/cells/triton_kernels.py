# ruff: noqa: ANN001, ANN201, ANN202, N803, PLR0917 -- what triton compiles has no types
"""Kernels of a linear recurrence that read and write each number once.

A program carries a few columns (batch x features) through all of time. It takes a tile of rows
(time), solves the recurrence within it by a scan, and adds what is left of the state before it.
The next tile is asked for before the present one is worked on, so that memory never waits.

`keep, add = (1 - a, a * b) if GATED else (a, b)`; all tensors are contiguous, `[time, width]` or
`[width]`. What is `CARRIED` is at least of single precision.
"""

from __future__ import annotations

import importlib
from typing import Any, no_type_check

triton: Any = importlib.import_module("triton")  # it may be absent where types are checked
tl: Any = importlib.import_module("triton.language")


@no_type_check
@triton.jit
def _two_steps(keep_1, add_1, keep_2, add_2):
    """Return two steps as one of the same form."""
    return keep_2 * keep_1, keep_2 * add_1 + add_2


@no_type_check
@triton.jit
def _tile(values, t, columns, time, width):
    """Return a row each of what stands at the times t; zeros where there is no such time."""
    at = t.to(tl.int64)[:, None] * width + columns[None, :]
    there = ((t >= 0) & (t < time))[:, None] & (columns < width)[None, :]
    return tl.load(values + at, mask=there, other=0)


@no_type_check
@triton.jit
def _put(tile, values, t, columns, time, width):
    """Write a row each at the times t, where there is such a time."""
    at = t.to(tl.int64)[:, None] * width + columns[None, :]
    there = ((t >= 0) & (t < time))[:, None] & (columns < width)[None, :]
    tl.store(values + at, tile.to(values.dtype.element_ty), mask=there)


@no_type_check
@triton.jit
def _row(tile, rows, which):
    """Return one row of a tile."""
    return tl.sum(tl.where(rows[:, None] == which, tile, 0), axis=0)


@no_type_check
@triton.jit
def forward_kernel(
    a, b, h, y, time, width,
    GATED: tl.constexpr, CARRIED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Carry a few columns through all of time, and write y."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    rows = tl.arange(0, ROWS)
    state = tl.load(h + columns, mask=columns < width, other=0).to(CARRIED)
    next_a = _tile(a, rows, columns, time, width)
    next_b = _tile(b, rows, columns, time, width)
    for start in range(0, time, ROWS):
        keep, add, t = next_a.to(CARRIED), next_b.to(CARRIED), start + rows
        next_a = _tile(a, t + ROWS, columns, time, width)
        next_b = _tile(b, t + ROWS, columns, time, width)
        if GATED:
            add = keep * add
            keep = 1 - keep
        keep, add = tl.associative_scan((keep, add), 0, _two_steps)
        states = keep * state[None, :] + add
        _put(states, y, t, columns, time, width)
        state = _row(states, rows, ROWS - 1)


@no_type_check
@triton.jit
def backward_kernel(
    a, b, y, h, dy, da, db, dh, time, width,
    GATED: tl.constexpr, CARRIED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Carry a few columns from the end of time to its beginning, and write da, db and dh.

    g_t = dy_t + keep_{t+1} * g_{t+1}, from t = time - 1 on; g_{-1}, with dy_{-1} = 0, is dh.
    """
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    rows = tl.arange(0, ROWS)
    first = tl.load(h + columns, mask=columns < width, other=0).to(CARRIED)
    after = tl.zeros([COLUMNS], CARRIED)
    t = time - 1 - rows
    next_dy = _tile(dy, t, columns, time, width)
    next_keep = _tile(a, t + 1, columns, time, width)
    next_before = _tile(y, t - 1, columns, time, width)
    if GATED:
        next_a = _tile(a, t, columns, time, width)
        next_b = _tile(b, t, columns, time, width)
    for start in range(0, time + 1, ROWS):
        t = time - 1 - start - rows
        add, keep, before = next_dy.to(CARRIED), next_keep.to(CARRIED), next_before.to(CARRIED)
        next_dy = _tile(dy, t - ROWS, columns, time, width)
        next_keep = _tile(a, t - ROWS + 1, columns, time, width)
        next_before = _tile(y, t - ROWS - 1, columns, time, width)
        if GATED:
            keep = 1 - keep
        keep, add = tl.associative_scan((keep, add), 0, _two_steps)
        g = keep * after[None, :] + add
        before = tl.where((t == 0)[:, None], first[None, :], before)
        if GATED:
            now_a, now_b = next_a.to(CARRIED), next_b.to(CARRIED)
            next_a = _tile(a, t - ROWS, columns, time, width)
            next_b = _tile(b, t - ROWS, columns, time, width)
            _put((now_b - before) * g, da, t, columns, time, width)
            _put(now_a * g, db, t, columns, time, width)
        else:
            _put(before * g, da, t, columns, time, width)
            _put(g, db, t, columns, time, width)
        _put(g, dh, t + 1, columns, 1, width)
        after = _row(g, rows, ROWS - 1)
