"""Playing a tape of kernel calls in C: where the calls take microseconds, so does Python.

The player is a page of C, compiled once on a machine and kept by Inductor. It calls the kernels
that Inductor compiled, and the `gemm` that torch itself is linked with.
"""

from __future__ import annotations

import array
import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MOST_ARGUMENTS = 120
_KERNEL, _COPY, _GEMM = range(3)

Words = tuple[int, list[int]]
"""A call as the player reads it: of what kind, and with which numbers."""

_SOURCE = """
typedef long long word;
typedef void* P;
typedef void (*gemm)(const char*, const char*, const int*, const int*, const int*, const void*,
                     const void*, const int*, const void*, const int*, const void*, void*,
                     const int*);

static void call(P f, const P* a, word n) {
  switch (n) {
%s
  }
}

/* rows of one matrix into another: to, from, rows, row bytes, stride to, stride from (bytes) */
static void copy(const word* w) {
  for (word r = 0; r < w[2]; ++r)
    __builtin_memcpy((char*)w[0] + r * w[4], (const char*)w[1] + r * w[5], w[3]);
}

/* function, transposes, m, n, k, a, lda, b, ldb, c, ldc, add, is double */
static void multiply(const word* w) {
  const char ta = w[1] ? 'T' : 'N', tb = w[2] ? 'T' : 'N';
  const int m = w[3], n = w[4], k = w[5], lda = w[7], ldb = w[9], ldc = w[11];
  const float one = 1, beta = w[12];
  const double done = 1, dbeta = w[12];
  const void* alpha = w[13] ? (const void*)&done : (const void*)&one;
  const void* by = w[13] ? (const void*)&dbeta : (const void*)&beta;
  ((gemm)w[0])(&ta, &tb, &m, &n, &k, alpha, (P)w[6], &lda, (P)w[8], &ldb, by, (P)w[10], &ldc);
}

extern "C" void play(const word* w, const word* end) {
  while (w < end) {
    const word kind = w[0], size = w[1];
    const word* body = w + 2;
    if (kind == 0) call((P)body[0], (const P*)(body + 1), size - 1);
    else if (kind == 1) copy(body);
    else multiply(body);
    w = body + size;
  }
}
"""


class NotPlayableError(Exception):
    """A call on the tape is of a kind that the player does not know."""


@dataclass(frozen=True, slots=True)
class KernelCall:
    """A call that was noted.

    Attributes:
        name: "" for a kernel that Inductor compiled; else of a product, as torch calls it.
        function: What was called.
        arguments: By place.
        options: By name.
    """

    name: str
    function: Callable[..., object]
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def __call__(self) -> None:
        self.function(*self.arguments, **self.options)


def player_of(calls: Sequence[KernelCall]) -> Callable[[], None]:
    """Return what does `calls` again, in C.

    Raises:
        NotPlayableError: One of them is of a kind that C does not know, or there is no compiler.
    """
    words = array.array("q")
    for call in calls:
        for kind, body in _written(call):
            words.extend((kind, len(body), *body))
    start, length = words.buffer_info()
    end = start + length * words.itemsize
    play = library().play

    def again() -> None:
        play(start, end)
        _ = words, calls  # both are what the addresses point to

    return again


@functools.cache
def library() -> Any:
    """Return the compiled player.

    Raises:
        NotPlayableError: There is no compiler, or it failed.
    """
    from torch._inductor.codecache import CppCodeCache  # noqa: PLC0415 -- seconds of import

    cases = []
    for n in range(1, MOST_ARGUMENTS + 1):
        kinds, values = ",".join("P" * n), ",".join(f"a[{i}]" for i in range(n))
        cases.append(f"    case {n}: ((void (*)({kinds}))f)({values}); break;")
    try:
        compiled = CppCodeCache.load(_SOURCE % "\n".join(cases))
        compiled.play.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        compiled.play.restype = None
    except Exception as error:
        raise NotPlayableError(str(error)) from error
    return compiled


def _written(call: KernelCall) -> list[Words]:
    if not call.name:
        if len(call.arguments) > MOST_ARGUMENTS or call.options:
            raise NotPlayableError("a kernel of too many arguments")
        pointers = [_address(value) for value in call.arguments]
        return [(_KERNEL, [_entry(call.function), *pointers])]
    if call.name not in _PRODUCTS:
        raise NotPlayableError(call.name)
    options = dict(call.options)
    out = options.pop("out")
    if any(value != 1 for value in options.values()):  # alpha and beta
        raise NotPlayableError(f"{call.name} with {options}")
    *added, left, right = call.arguments
    return _PRODUCTS[call.name](out, left, right, *added)


def _address(value: Any) -> int:
    if not isinstance(value, Tensor):
        raise NotPlayableError("a kernel that takes numbers")
    return value.data_ptr()


@functools.cache
def _entry(kernel: Any) -> int:
    """Return the address of the C function behind a kernel."""
    compiled = ctypes.CDLL(kernel.__self__.__file__)
    return ctypes.cast(compiled.kernel, ctypes.c_void_p).value or 0


@functools.cache
def _gemm(dtype: torch.dtype) -> int:
    """Return the address of the `gemm` that torch is linked with."""
    name = {torch.float32: "sgemm_", torch.float64: "dgemm_"}.get(dtype)
    try:
        if name is None:
            raise NotPlayableError(f"products of {dtype}")
        function = getattr(_torch_library(), name)
    except (AttributeError, OSError) as error:
        raise NotPlayableError(str(error)) from error
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@functools.cache
def _torch_library() -> ctypes.CDLL:
    from pathlib import Path  # noqa: PLC0415

    (path, *_) = sorted((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))
    return ctypes.CDLL(str(path))


def _product(out: Tensor, left: Tensor, right: Tensor, *added: Tensor) -> list[Words]:
    """Return `out = left @ right`, added to what there is, if any: row-major, by columns."""
    if out.stride(1) != 1 and out.shape[1] > 1:
        raise NotPlayableError("a result that is not stored by rows")
    (rows, columns), inner = out.shape, left.shape[1]
    turn_left, ld_left = _layout(left)
    turn_right, ld_right = _layout(right)
    # By columns, what is stored by rows is its transpose: out.T = right.T @ left.T.
    body = [
        _gemm(out.dtype), turn_right, turn_left, columns, rows, inner,
        right.data_ptr(), ld_right, left.data_ptr(), ld_left,
        out.data_ptr(), max(out.stride(0), columns, 1), bool(added), out.dtype == torch.float64,
    ]  # fmt: skip
    return [*(_copied(out, value) for value in added), (_GEMM, [int(word) for word in body])]


def _layout(matrix: Tensor) -> tuple[bool, int]:
    """Return whether a matrix is stored by columns, and how far its rows, or columns, are apart."""
    (rows, columns), (down, right) = matrix.shape, matrix.stride()
    if right == 1 or columns == 1:
        return False, max(down if rows > 1 else columns, columns, 1)
    if down == 1 or rows == 1:
        return True, max(right, rows, 1)
    raise NotPlayableError("a matrix that is stored neither by rows nor by columns")


def _copied(out: Tensor, value: Tensor) -> Words:
    spread = value.expand(out.shape)
    if spread.stride(1) != 1 and out.shape[1] > 1:
        raise NotPlayableError("a column that is added")
    size = out.element_size()
    apart = out.stride(0) * size, spread.stride(0) * size
    return _COPY, [out.data_ptr(), spread.data_ptr(), out.shape[0], out.shape[1] * size, *apart]


def _batch(out: Tensor, left: Tensor, right: Tensor, *added: Tensor) -> list[Words]:
    spread = [value.expand(out.shape) for value in added]
    each = zip(out, left, right, *spread, strict=True)
    return [words for matrices in each for words in _product(*matrices)]


_PRODUCTS = {"mm": _product, "addmm": _product, "bmm": _batch, "baddbmm": _batch}
