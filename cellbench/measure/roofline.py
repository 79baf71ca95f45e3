"""The roofline: the least time that a piece of work can take on a machine.

    least time = max(operations / operations a second, bytes / bytes a second)
    share of the roofline = least time / time that it took

Operations are those of matrix products, counted over the cell's stepwise form; element-wise work
is not counted. Bytes are those that must cross between memory and processor at least, if
everything in between stayed on the chip: see `Footprint`. Both ceilings are measured, in the
process that times the cell, with its threads, dtype and precision flags.

So a share is a lower bound on how well a call uses the machine, and 100 % is out of reach for
most cells. More than 100 % means that what was counted as crossing to memory stayed in a cache.

Source: Williams et al. 2009, "Roofline: an insightful visual performance model".
Differs from it: bytes are a model, not counted by the hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from cellbench.measure.timing import Stopwatch, time_blocks
from cellbench.record import Ceilings, Work

MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}
"""Of the square matrices whose product gives the ceiling of operations."""

COPY_BYTES = 256 << 20
"""Of the buffer whose copy gives the ceiling of bytes: bigger than most last-level caches."""

CEILING_BUDGET_S = 0.25
"""Seconds of timed blocks for each ceiling."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a call over a sequence takes and leaves, in bytes.

    Attributes:
        parameters: All of them, once: a good kernel keeps them on the chip for all of time.
        inputs: Of all steps.
        outputs: Of all steps.
        state: After the last step.
    """

    parameters: int
    inputs: int
    outputs: int
    state: int

    @property
    def inference_bytes(self) -> int:
        """Parameters, inputs and a state are read, outputs and a state are written."""
        return self.parameters + self.inputs + self.outputs + 2 * self.state

    @property
    def training_bytes(self) -> int:
        """Inference; and for the backward pass parameters, inputs and the outputs' cotangent
        are read, gradients of parameters and inputs are written.

        Nothing for what the forward pass keeps for the backward: that can be computed again.
        """  # noqa: D205 -- one sentence, too long for a line
        return self.inference_bytes + 2 * self.parameters + 2 * self.inputs + self.outputs


def size_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of all elements of `tensors`."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def least_s(work: Work, ceilings: Ceilings) -> float:
    """Return the least seconds in which a machine with these ceilings can do `work`."""
    return max(work.operations / ceilings.operations_per_s, work.bytes / ceilings.bytes_per_s)


def measure_ceilings(
    device: torch.device,
    dtype: torch.dtype,
    watch: Stopwatch,
    *,
    side: int | None = None,
    copy_bytes: int = COPY_BYTES,
) -> Ceilings:
    """Time a large matrix product and a large copy; the quickest block of each is the ceiling.

    On a CPU torch has two libraries that multiply, and a cell may use either: the quicker
    counts. (On one AMD processor `mm` reached 100 Gop/s, and oneDNN, which `nn.LSTM` uses, 220.)

    Args:
        device: Where.
        dtype: Of the matrices.
        watch: See `cellbench.measure.timing.stopwatch`.
        side: Of the square matrices; by default, `MATRIX_SIDE`.
        copy_bytes: Of the buffer that is copied; each byte is read and written.
    """
    side = side or MATRIX_SIDE[device.type]
    product_s = min(_quickest_s(call, watch) for call in _products(device, dtype, side))
    source = torch.randint(256, (copy_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_s = _quickest_s(lambda: target.copy_(source), watch)
    return Ceilings(operations_per_s=2 * side**3 / product_s, bytes_per_s=2 * copy_bytes / copy_s)


def _products(device: torch.device, dtype: torch.dtype, side: int) -> list[Callable[[], object]]:
    """Return the ways there are to multiply two matrices."""
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    c = torch.empty_like(a)
    found: list[Callable[[], object]] = [lambda: torch.mm(a, b, out=c)]
    try:
        onednn = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 -- there is no public one
        onednn(a, b, None, "none", [], "")
    except (AttributeError, RuntimeError):  # a GPU, another dtype, another build of torch
        return found
    return [*found, lambda: onednn(a, b, None, "none", [], "")]


def _quickest_s(call: Callable[[], object], watch: Stopwatch) -> float:
    found = time_blocks(call, watch, batch=1, time=1, budget_s=CEILING_BUDGET_S)
    return min(found.device_blocks_s or found.blocks_s) / found.calls_per_block
