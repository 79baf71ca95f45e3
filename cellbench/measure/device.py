"""Devices by name."""

from __future__ import annotations

from cellbench.errors import DeviceError


def choose_device(name: str, option: str = "--device") -> str:
    """Return a device that this machine has, as torch names it: "cpu", "cuda:0".

    Args:
        name: auto, cpu, cuda, or cuda:N; auto is cuda where there is a GPU.
        option: Where it was asked for, for messages.

    Raises:
        DeviceError: It has no such device, or the name is none.
    """
    import torch  # noqa: PLC0415 -- `--help` does not wait for it

    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    kind, _, number = name.partition(":")
    if kind != "cuda" or (number and not number.isdigit()) or name.endswith(":"):
        raise DeviceError(f"{option} must be auto, cpu, cuda or cuda:N, not {name!r}.")
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
        raise DeviceError(
            f"{option} {name}: torch {torch.__version__} ({built}) finds no CUDA GPU. "
            f"Use {option} cpu, or see `cellbench doctor`."
        )
    if int(number or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{option} {name}: this machine has {torch.cuda.device_count()} CUDA device(s), "
            "counted from cuda:0."
        )
    return f"cuda:{number or 0}"
