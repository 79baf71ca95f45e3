"""Linear recurrences on the CPU: one pass over memory each way, in C++.

The numpy loop of `host_scan`, which is what this has to agree with, goes over each stretch of time
several times and makes two calls a step. Here a step is one loop over batch x features numbers.
The state is in a row of its own, which stays in the cache; all else comes from memory once and
goes there once. It is compiled once on a machine, by inductor, which knows the compiler and its
options and keeps what it made on disk.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
"""As in `host_scan`: `[time, features]`."""

ENOUGH = 2**15
"""Numbers of a sequence for which this is worth while: inductor is a second of import, and the
compiler another, once a machine."""

PAST_CACHES = 2**21
"""Bytes of a tensor from which on results are written past the caches, whoever reads them next."""

_NAMES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

_SOURCE = r"""
#include <stdint.h>
#include <string.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#ifdef __GNUC__
#pragma GCC optimize("tree-loop-vectorize")  // inductor, which writes vectors out, turns it off
#endif

typedef long long word;

static const word BLOCK = 128;  // columns at a time; by measurement

// Write results, past the caches if asked to: else the processor first reads from memory what it is
// to overwrite. By measurement this halves the backward pass, together with `fetch`.
template <typename N>
static void put(N* to, const N* from, word n, bool past) {
  word done = 0;
#ifdef __AVX__
  const word lane = 32 / sizeof(N);
  if (past) {
    while (done < n && (uintptr_t)(to + done) % 32) { to[done] = from[done]; done++; }
    for (; done + lane <= n; done += lane)
      _mm256_stream_si256((__m256i*)(to + done), _mm256_loadu_si256((const __m256i*)(from + done)));
  }
#endif
  memcpy(to + done, from + done, (n - done) * sizeof(N));
}

// Ask for what the next step reads: the processor guesses no further than a page.
template <typename N>
static void fetch(const N* from, word n) {
#ifdef __GNUC__
  for (word i = 0; i < n; i += 64 / sizeof(N)) __builtin_prefetch(from + i);
#endif
}

static void settle() {
#ifdef __AVX__
  _mm_sfence();  // what went past the caches is seen by other threads
#endif
}

template <typename N>
static void step(word n, bool gated, const N* __restrict__ a, const N* __restrict__ b,
                 N* __restrict__ h) {
  if (gated) {
#pragma GCC ivdep
    for (word i = 0; i < n; i++) h[i] = a[i] * b[i] + (1 - a[i]) * h[i];
  } else {
#pragma GCC ivdep
    for (word i = 0; i < n; i++) h[i] = b[i] + a[i] * h[i];
  }
}

template <typename N>
static void step_back(word n, const N* __restrict__ a, const N* __restrict__ b,
                      const N* __restrict__ before, const N* __restrict__ dy,
                      N* __restrict__ da, N* __restrict__ db, N* __restrict__ dh) {
  if (b) {
#pragma GCC ivdep
    for (word i = 0; i < n; i++) {
      const N g = dy[i] + dh[i];
      da[i] = (b[i] - before[i]) * g;
      db[i] = a[i] * g;
      dh[i] = (1 - a[i]) * g;
    }
  } else {
#pragma GCC ivdep
    for (word i = 0; i < n; i++) {
      const N g = dy[i] + dh[i];
      da[i] = before[i] * g;
      db[i] = g;
      dh[i] = a[i] * g;
    }
  }
}

static word columns(word start, word width) {
  return width - start < BLOCK ? width - start : BLOCK;
}

// h: the first state; then the last one.
template <typename N>
static void forward(word time, word width, bool past, bool gated, const N* a, const N* b, N* h,
                    N* y) {
  for (word t = 0; t < time; t++)
    for (word start = 0; start < width; start += BLOCK) {
      const word n = columns(start, width), at = t * width + start;
      step(n, gated, a + at, b + at, h + start);
      put(y + at, h + start, n, past);
    }
  settle();
}

// dh: zeros; then what goes back from the first step.
template <typename N>
static void backward(word time, word width, bool past, const N* a, const N* b, const N* y,
                     const N* h, const N* dy, N* da, N* db, N* dh) {
  N da_now[BLOCK], db_now[BLOCK];
  for (word t = time - 1; t >= 0; t--)
    for (word start = 0; start < width; start += BLOCK) {
      const word n = columns(start, width), at = t * width + start;
      const N* before = t ? y + at - width : h + start;
      if (t) {
        fetch(a + at - width, n);
        fetch(dy + at - width, n);
        if (b) fetch(b + at - width, n);
        if (t > 1) fetch(before - width, n);
      }
      step_back(n, a + at, b ? b + at : b, before, dy + at, da_now, db_now, dh + start);
      put(da + at, da_now, n, past);
      put(db + at, db_now, n, past);
    }
  settle();
}

#define BOTH(N)                                                                                  \
  extern "C" void forward_##N(word time, word width, bool past, bool gated, const N* a,          \
                              const N* b, N* h, N* y) {                                          \
    forward(time, width, past, gated, a, b, h, y);                                               \
  }                                                                                              \
  extern "C" void backward_##N(word time, word width, bool past, const N* a, const N* b,         \
                               const N* y, const N* h, const N* dy, N* da, N* db, N* dh) {       \
    backward(time, width, past, a, b, y, h, dy, da, db, dh);                                     \
  }

BOTH(float)
BOTH(double)
"""


def usable(*rows: Rows) -> bool:
    """Return whether this form is there for such numbers, and worth while; the longest first."""
    kinds = {each.dtype for each in rows}
    return (
        rows[0].size >= ENOUGH
        and len(kinds) == 1
        and kinds <= _NAMES.keys()
        and library() is not None
    )


def forward(keep: Rows, add: Rows, first: Rows, states: Rows, *, gated: bool) -> None:
    """Fill `states`, as `host_scan.forward` has it.

    Args:
        keep: keep; if gated, 1 - keep.
        add: add; if gated, add / keep.
        first: The state before the first step.
        states: In order in memory.
        gated: Which of the two.
    """
    call = getattr(library(), f"forward_{_NAMES[states.dtype]}")
    keep, add, state = np.ascontiguousarray(keep), np.ascontiguousarray(add), first.copy()
    call(*_shape(states), gated, *_places(keep, add, state, states))


def backward(given: tuple[Rows, Rows | None, Rows, Rows, Rows], made: tuple[Rows, ...]) -> None:
    """Fill the gradients, as `host_scan.backward` has it.

    Args:
        given: `keep`, `add` if gated, `states` and `first` as in `forward`; what arrives at each
            state.
        made: The gradients of `keep`, `add` and `first`, in order in memory; the last one zeros.
    """
    call = getattr(library(), f"backward_{_NAMES[made[0].dtype]}")
    plain = [None if each is None else np.ascontiguousarray(each) for each in given]
    call(*_shape(made[0]), *_places(*plain, *made))


@functools.cache
def library() -> Any:
    """Return the compiled loops, or None if there is no compiler or it failed."""
    try:
        from torch._inductor.codecache import CppCodeCache  # noqa: PLC0415 -- seconds of import

        compiled = CppCodeCache.load(_SOURCE)
        shape, place = [ctypes.c_longlong] * 2 + [ctypes.c_bool], ctypes.c_void_p
        for name in _NAMES.values():
            _declare(getattr(compiled, f"forward_{name}"), [*shape, ctypes.c_bool, *[place] * 4])
            _declare(getattr(compiled, f"backward_{name}"), [*shape, *[place] * 8])
    except Exception:  # noqa: BLE001 -- whatever it is, there is the loop in numpy
        return None
    return compiled


def _declare(function: Any, arguments: list[Any]) -> None:
    function.argtypes, function.restype = arguments, None


def _shape(rows: Rows) -> tuple[int, int, bool]:
    time, width = rows.shape
    return time, width, rows.nbytes >= PAST_CACHES


def _places(*rows: Rows | None) -> list[int | None]:
    return [None if each is None else each.ctypes.data for each in rows]
