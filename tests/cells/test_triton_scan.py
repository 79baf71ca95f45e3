"""The CUDA kernels of the scans: on a GPU where there is one, interpreted where there is none."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cellbench.cells import doubling_scan, host_scan, scan_operator
from cellbench.cells.scan import linear_scan

KERNELS = Path(__file__).parent / "scan_kernels.py"

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed: tests/parity.txt"
)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def run_kernels(device: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, str(KERNELS), device],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs_triton
def test_interpreted_kernels_are_the_plain_form_in_values_and_gradients() -> None:
    run_kernels("cpu", TRITON_INTERPRET="1")


@needs_triton
@needs_cuda
def test_kernels_on_a_gpu_are_the_plain_form_in_values_and_gradients() -> None:
    run_kernels("cuda")


@needs_triton
@needs_cuda
def test_on_a_gpu_the_kernels_are_what_is_used() -> None:
    form = scan_operator.form_for(torch.ones(1, device="cuda"))

    assert form.__name__ == "cellbench.cells.triton_scan"


@needs_cuda
def test_on_a_gpu_it_can_be_captured() -> None:
    a, b = torch.rand(2, 50, 3, 40, device="cuda")
    h = torch.zeros(3, 40, device="cuda")
    linear_scan(a, b, h)  # compiled before it is captured
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = linear_scan(a, b, h)
    a.copy_(torch.rand_like(a))

    graph.replay()

    torch.testing.assert_close(y, doubling_scan.forward(a, b, h, gated=False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.bfloat16], ids=str)
def test_elsewhere_there_are_the_others(dtype) -> None:
    assert scan_operator.form_for(torch.ones(1, dtype=dtype)) is host_scan
    assert scan_operator.form_for(torch.ones(1, dtype=dtype, device="meta")) is doubling_scan
