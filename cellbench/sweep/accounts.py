"""What a worker takes of its device's memory, and holding it to that."""

from __future__ import annotations

import abc
import gc
from typing import final

import torch

from cellbench.sweep.room import CONTEXT_BYTES


class Accounts(abc.ABC):
    """The memory of one process on a device."""

    @abc.abstractmethod
    def open(self, most_bytes: int | None) -> None:
        """Give back what earlier work has left, count anew, and let no more than this be taken.

        Args:
            most_bytes: Of the device, the context included; None for all there is.
        """

    @abc.abstractmethod
    def peak_bytes(self) -> int | None:
        """Return the most that tensors took since `open`; None where nobody counts."""


@final
class NoAccounts(Accounts):
    """Of a CPU: the system holds the process to its limit."""

    def open(self, most_bytes: int | None) -> None:
        """Nobody counts here."""

    def peak_bytes(self) -> None:
        return None


@final
class CudaAccounts(Accounts):
    """Of a GPU: torch's allocator counts what it reserves, graphs included.

    Args:
        device: Which GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._total_bytes = torch.cuda.get_device_properties(device).total_memory

    def open(self, most_bytes: int | None) -> None:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)
        share = 1.0
        if most_bytes is not None:
            share = max(0, most_bytes - CONTEXT_BYTES) / self._total_bytes
        torch.cuda.set_per_process_memory_fraction(share, self._device)

    def peak_bytes(self) -> int:
        return torch.cuda.max_memory_reserved(self._device)


def accounts_of(device: torch.device) -> Accounts:
    """Return the accounts of this process on `device`."""
    return CudaAccounts(device) if device.type == "cuda" else NoAccounts()


def free_bytes(device: str) -> int:
    """Return the memory of a GPU that nobody holds; all of it where the driver does not tell.

    This process takes none for asking.
    """
    import pynvml  # noqa: PLC0415 -- only where there is a GPU

    props = torch.cuda.get_device_properties(device)
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{getattr(props, 'uuid', '')}")
        free = int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)
    except pynvml.NVMLError:
        return int(props.total_memory)
    return free
