"""Playing a tape of kernel calls in C: where the calls take microseconds, so does Python.

The player is a page of C, compiled once on a machine and kept by Inductor. It calls the kernels
that Inductor compiled, and the products that torch itself is linked with: oneDNN's small ones where
they can be had, which took a third of the time of the `gemm` that torch calls on an EPYC.
"""

from __future__ import annotations

import array
import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MOST_ARGUMENTS = 120
_KERNEL, _COPY, _GEMM, _BRGEMM, _TURN = range(5)

_SOURCE = """
typedef long long word;
typedef void* P;
typedef void (*gemm)(const char*, const char*, const int*, const int*, const int*, const void*,
                     const void*, const int*, const void*, const int*, const void*, void*,
                     const int*);

typedef void (*brgemm)(long, long, long, long, long, long, bool, const float*, const float*,
                       float*, bool);

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

/* function, m, n, k, lda, ldb, ldc, add, a, b, c: all by rows */
static void multiply_rows(const word* w) {
  ((brgemm)w[0])(w[1], w[2], w[3], w[4], w[5], w[6], w[7], (const float*)w[8],
                 (const float*)w[9], (float*)w[10], false);
}

/* to (rows x columns, by rows), from (its transpose, by rows), rows, columns, row length of from */
static void turn(const word* w) {
  float* to = (float*)w[0];
  const float* from = (const float*)w[1];
  for (word c = 0; c < w[3]; c += 16)
    for (word r = 0; r < w[2]; ++r)
      for (word i = c; i < c + 16 && i < w[3]; ++i) to[r * w[3] + i] = from[i * w[4] + r];
}

extern "C" void play(const word* w, const word* end) {
  while (w < end) {
    const word kind = w[0], size = w[1];
    const word* body = w + 2;
    if (kind == 0) call((P)body[0], (const P*)(body + 1), size - 1);
    else if (kind == 1) copy(body);
    else if (kind == 2) multiply(body);
    else if (kind == 3) multiply_rows(body);
    else turn(body);
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


def player_of(calls: Sequence[KernelCall], fixed: Sequence[Tensor] = ()) -> Callable[[], None]:
    """Return what does `calls` again, in C.

    Args:
        calls: In order.
        fixed: What no call writes to.

    Raises:
        NotPlayableError: One of them is of a kind that C does not know, or there is no compiler.
    """
    tape = _Tape(fixed)
    for call in calls:
        tape.add(call)
    words = array.array("q", [*tape.first, *tape.words])
    start, length = words.buffer_info()
    end = start + length * words.itemsize
    play = library().play
    kept = words, calls, tape  # what the addresses point to

    def again(_: object = kept) -> None:
        play(start, end)

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
    (path, *_) = sorted((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))
    return ctypes.CDLL(str(path))


class _Tape:
    """Calls, written down as the player reads them.

    Args:
        fixed: What no call writes to.

    Attributes:
        first: What is done before all calls: turning fixed matrices.
        words: The calls.
    """

    def __init__(self, fixed: Sequence[Tensor]) -> None:
        self.first: list[int] = []
        self.words: list[int] = []
        self._fixed = [(v.data_ptr(), v.data_ptr() + v.nbytes) for v in fixed]
        self._turned: dict[tuple[int, ...], Tensor] = {}

    def add(self, call: KernelCall) -> None:
        """Write a call down."""
        if not call.name:
            if len(call.arguments) > MOST_ARGUMENTS or call.options:
                raise NotPlayableError("a kernel of too many arguments")
            pointers = [_address(value) for value in call.arguments]
            self._write(_KERNEL, _entry(call.function), *pointers)
            return
        options = dict(call.options)
        out = options.pop("out")
        if any(value != 1 for value in options.values()):  # alpha and beta
            raise NotPlayableError(f"{call.name} with {options}")
        *added, left, right = call.arguments
        if call.name in {"mm", "addmm"}:
            self._product(out, left, right, *added)
        elif call.name in {"bmm", "baddbmm"}:
            spread = [value.expand(out.shape) for value in added]
            for matrices in zip(out, left, right, *spread, strict=True):
                self._product(*matrices)
        else:
            raise NotPlayableError(call.name)

    def _write(self, kind: int, *body: int) -> None:
        self.words.extend((kind, len(body), *map(int, body)))

    def _product(self, out: Tensor, left: Tensor, right: Tensor, *added: Tensor) -> None:
        """Write `out = left @ right`, added to what there is, if any."""
        if out.stride(1) != 1 and out.shape[1] > 1:
            raise NotPlayableError("a result that is not stored by rows")
        for value in added:
            self._copy(out, value)
        (m, n), k = out.shape, left.shape[1]
        turn_left, ld_left = _layout(left)
        turn_right, ld_right = _layout(right)
        ld_out = max(out.stride(0), n, 1)
        quick = _brgemm() if out.dtype == torch.float32 and not turn_left else 0
        if quick and turn_right and self._is_fixed(right):
            right, turn_right, ld_right = self._turn(right, ld_right), False, n
        a, b, c = left.data_ptr(), right.data_ptr(), out.data_ptr()
        if quick and not turn_right:
            self._write(_BRGEMM, quick, m, n, k, ld_left, ld_right, ld_out, bool(added), a, b, c)
            return
        # By columns, what is stored by rows is its transpose: out.T = right.T @ left.T.
        sizes = turn_right, turn_left, n, m, k, b, ld_right, a, ld_left, c, ld_out
        self._write(_GEMM, _gemm(out.dtype), *sizes, bool(added), out.dtype == torch.float64)

    def _copy(self, out: Tensor, value: Tensor) -> None:
        spread = value.expand(out.shape)
        if spread.stride(1) != 1 and out.shape[1] > 1:
            raise NotPlayableError("a column that is added")
        size, (rows, columns) = out.element_size(), out.shape
        apart = out.stride(0) * size, spread.stride(0) * size
        self._write(_COPY, out.data_ptr(), spread.data_ptr(), rows, columns * size, *apart)

    def _is_fixed(self, matrix: Tensor) -> bool:
        return any(start <= matrix.data_ptr() < end for start, end in self._fixed)

    def _turn(self, matrix: Tensor, apart: int) -> Tensor:
        """Return a matrix stored by rows that is made of one stored by columns, before all else."""
        key = (matrix.data_ptr(), *matrix.shape, apart)
        if key not in self._turned:
            by_rows = self._turned[key] = torch.empty(matrix.shape)
            body = by_rows.data_ptr(), matrix.data_ptr(), *matrix.shape, apart
            self.first.extend((_TURN, len(body), *body))
        return self._turned[key]


@functools.cache
def _brgemm() -> int:
    """Return the address of torch's door to oneDNN's small products; 0 if it has none.

    It goes to the usual `gemm` by itself where oneDNN has no such product for the processor.
    """
    name = "_ZN2at6native7cpublas6brgemmEllllllbPKfS3_Pfb"
    function = getattr(_torch_library(), name, None)
    return ctypes.cast(function, ctypes.c_void_p).value or 0 if function else 0


def _layout(matrix: Tensor) -> tuple[bool, int]:
    """Return whether a matrix is stored by columns, and how far its rows, or columns, are apart."""
    (rows, columns), (down, right) = matrix.shape, matrix.stride()
    if right == 1 or columns == 1:
        return False, max(down if rows > 1 else columns, columns, 1)
    if down == 1 or rows == 1:
        return True, max(right, rows, 1)
    raise NotPlayableError("a matrix that is stored neither by rows nor by columns")
