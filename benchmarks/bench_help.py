"""How long a person waits for help."""

from __future__ import annotations

import subprocess
import sys

from interleaved import race, save


def test_help_against_a_bare_interpreter(benchmark) -> None:
    def bare() -> None:
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    def helping() -> None:
        command = [sys.executable, "-m", "cellbench", "--help"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    ratio = benchmark.pedantic(lambda: race(bare, helping, rounds=25), rounds=1)
    slowest = max(ratio.second_s)
    print(f"\ncellbench --help takes {slowest:.3f} s at the slowest of {len(ratio.second_s)}")
    benchmark.extra_info["slowest_s"] = slowest
    save("help", "under 0.3 s", ratio, slowest_s=slowest, predicted=0.15)
