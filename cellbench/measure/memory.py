"""Memory of one call: what is there before it apart from what it adds.

On CUDA the caching allocator counts. On CPU torch's profiler reports each allocation, so the
peak of tensor memory is exact and the same in every run; the resident set of the process, which
holds the interpreter and torch besides, is reported apart.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import sys
from collections.abc import Callable, Iterable

import psutil
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from cellbench.record import Memory

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for its next allocation; tell whether it will.

    Left alone, glibc gives big tensors back to the system as soon as they are freed, and each
    training step touches fresh pages again: on a virtual machine that takes longer than the
    work on small cells. A caching allocator, as there is one for CUDA, does the same.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    no_maps = mallopt(_M_MMAP_MAX, 0)
    no_trimming = mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    return bool(no_maps and no_trimming)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""As <malloc.h> numbers them."""


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes behind `tensors`; storage that several of them share counts once."""
    storages = {
        (storage.data_ptr(), storage.nbytes()) for storage in map(Tensor.untyped_storage, tensors)
    }
    return sum(size for _, size in storages)


def measure_memory(
    call: Callable[[], object],
    before: Callable[[], object],
    *,
    held_bytes: int,
    static_bytes: int,
    device: torch.device,
) -> Memory:
    """Run `call` once and tell how much memory it needed.

    Args:
        call: The work, warmed up.
        before: Brings back the state between two calls (drops gradients), unmeasured.
        held_bytes: Tensor memory in use once `before` has run.
        static_bytes: Parameters, gradients and optimiser state.
        device: Where the work runs.
    """
    before()
    gc.collect()
    if device.type == "cuda":
        return _on_cuda(call, static_bytes, device)
    return _on_cpu(call, held_bytes, static_bytes)


def _on_cpu(call: Callable[[], object], held_bytes: int, static_bytes: int) -> Memory:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    peak = max(itertools.accumulate((change for _, change in changes), initial=0))
    return Memory(
        static_bytes=static_bytes,
        peak_allocated_bytes=held_bytes + peak,
        process_bytes=_peak_resident_bytes(),
    )


def _peak_resident_bytes() -> int:
    """Return the most memory that this process ever held."""
    if resource is None:
        return int(psutil.Process().memory_info().rss)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere


def _on_cuda(call: Callable[[], object], static_bytes: int, device: torch.device) -> Memory:
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    retries = torch.cuda.memory_stats(device).get("num_alloc_retries", 0)
    call()
    torch.cuda.synchronize(device)
    stats = torch.cuda.memory_stats(device)
    return Memory(
        static_bytes=static_bytes,
        peak_allocated_bytes=stats["allocated_bytes.all.peak"],
        peak_reserved_bytes=stats["reserved_bytes.all.peak"],
        process_bytes=gpu_process_bytes(device),
        alloc_retries=stats.get("num_alloc_retries", 0) - retries,
    )


def gpu_process_bytes(device: torch.device) -> int | None:
    """Return what NVML says this process holds on `device`; None where it cannot see it."""
    import pynvml  # noqa: PLC0415 -- only where there is a GPU

    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return None
    mine = [p.usedGpuMemory for p in processes if p.pid == os.getpid()]
    return mine[0] if mine else None
