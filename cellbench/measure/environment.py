"""What a run ran on: the machine, the software, the flags, and which of these decide a speed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from typing import Any

import psutil
import torch

from cellbench.measure.precision import precision_flags
from cellbench.record import Environment

VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
)
"""Environment variables that change what is measured."""


def environment(device: torch.device, dtype: str, threads: int) -> Environment:
    """Describe this machine and process.

    Args:
        device: Where cells run.
        dtype: Of parameters and inputs.
        threads: That a measured cell may use on the CPU.
    """
    gpu = _gpu(device) if device.type == "cuda" else {}
    key = {
        "device": gpu.get("name", _cpu_model()),
        "driver": str(gpu.get("driver", "")).partition(".")[0],
        "torch": str(torch.__version__),
        "cuda": (torch.version.cuda or "") if gpu else "",
        "cudnn": str(torch.backends.cudnn.version()) if gpu else "",  # type: ignore[no-untyped-call]  # torch's
        "dtype": dtype,
        "threads": str(threads),
        **precision_flags(),
    }
    facts = {
        "machine": _machine(),
        "gpu": gpu,
        "python": platform.python_version(),
        "packages": _packages(),
        "torch_git": torch.version.git_version,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    text = json.dumps([key, facts], sort_keys=True)
    return Environment(digest=hashlib.sha256(text.encode()).hexdigest()[:16], key=key, facts=facts)


def usable_cpus() -> int:
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Return how many processes wanted to run in the last minute; None where unknown."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "cpus": psutil.cpu_count(),
        "cpus_usable": usable_cpus(),
        "memory_bytes": psutil.virtual_memory().total,
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }


def _cpu_model() -> str:
    if platform.system() == "Linux":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 -- read a line at a time
            for line in file:
                if line.lower().startswith(("model name", "cpu model")):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 -- a pseudo-file
            return file.readline().strip()
    except OSError:
        return ""


def _packages() -> dict[str, str]:
    wanted = ("cellbench", "numpy", "torch", "triton", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
    found = {}
    for name in wanted:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _gpu(device: torch.device) -> dict[str, Any]:
    props = torch.cuda.get_device_properties(device)
    return {
        "name": props.name,
        "capability": f"{props.major}.{props.minor}",
        "multiprocessors": props.multi_processor_count,
        "memory_bytes": props.total_memory,
        "l2_bytes": getattr(props, "L2_cache_size", None),
        **_nvml(str(getattr(props, "uuid", ""))),
    }


def _nvml(uuid: str) -> dict[str, Any]:
    """Return what only the driver knows; empty where NVML cannot be asked."""
    import pynvml  # noqa: PLC0415 -- only where there is a GPU

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        return {
            "driver": str(pynvml.nvmlSystemGetDriverVersion()),
            "uuid_hash": hashlib.sha256(uuid.encode()).hexdigest()[:12],
            "power_limit_mw": pynvml.nvmlDeviceGetEnforcedPowerLimit(handle),
            "max_sm_clock_mhz": pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM),
        }
    except pynvml.NVMLError:
        return {}
