"""Memory of one call."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cellbench.measure.memory import measure_memory, tensor_bytes
from cellbench.measure.operations import count_operations

CPU = torch.device("cpu")


def measured(call, *, held_bytes: int = 0):
    return measure_memory(
        call, lambda: None, held_bytes=held_bytes, static_bytes=0, device=CPU
    ).peak_allocated_bytes


def test_the_peak_is_the_most_that_is_held_at_once() -> None:
    def call() -> None:
        first = torch.ones(1000)  # 4,000 bytes
        second = first + 1  # 8,000 held
        del first
        second + 1  # 8,000 held again

    assert 8000 <= measured(call) < 8600


def test_memory_given_back_in_between_does_not_add_up() -> None:
    def call() -> None:
        for _ in range(50):
            torch.ones(1000)

    assert measured(call) < 4600


def test_a_cell_that_keeps_every_step_is_seen() -> None:
    kept = []

    def call() -> None:
        kept.extend(torch.ones(1000) for _ in range(50))

    assert measured(call) >= 200_000


def test_what_was_held_before_is_part_of_the_peak() -> None:
    assert (
        measured(lambda: torch.ones(1000), held_bytes=7) - measured(lambda: torch.ones(1000)) == 7
    )


def test_what_runs_before_is_not_measured() -> None:
    found = measure_memory(
        lambda: None, lambda: torch.ones(100_000), held_bytes=0, static_bytes=5, device=CPU
    )

    assert found.peak_allocated_bytes == 0
    assert found.static_bytes == 5
    assert found.peak_reserved_bytes is None
    assert found.process_bytes > 1 << 20


def test_shared_storage_counts_once_and_whole() -> None:
    whole = torch.zeros(10)

    assert tensor_bytes([whole, whole[:2], torch.zeros(3)]) == 52


def test_a_multiply_add_is_two_operations() -> None:
    a, b = torch.zeros(3, 5), torch.zeros(5, 7)

    assert count_operations(lambda: a @ b) == 2 * 3 * 5 * 7


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_can_be_kept() -> None:
    """In a process of its own: it cannot be undone."""
    code = (
        "import resource, torch; from cellbench.measure.memory import keep_freed_memory\n"
        "assert keep_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def touch(): torch.empty(1 << 23).fill_(1.0)\n"
        "for _ in range(30): touch()  # until what is freed lies where it fits\n"
        "before = faults(); touch()\n"
        "assert faults() - before < 100, faults() - before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
