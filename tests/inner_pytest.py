"""Runs of pytest with our plug-in, inside a test."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import entry_points

import torch.profiler  # noqa: F401 -- what such a run imports first is forgotten: torch minds

import cellbench.pytest_plugin.timing  # noqa: F401 -- likewise

INSTALLED = any(point.name == "cellbench" for point in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "cellbench.pytest_plugin")
FEW = ("-pno:cacheprovider", "-pno:hypothesispytest")
TINY = (
    *("--cellbench-time=4", "--cellbench-batch=2", "--cellbench-hidden=4"),
    *("--cellbench-device=cpu", "--cellbench-unroll=stepwise"),
    *("--benchmark-min-rounds=1", "--benchmark-max-time=0.001"),
)

MACHINE = """
def pytest_benchmark_generate_machine_info():  # asking the real one takes a second
    return {"node": "here"}
"""


def forget_outer_run(monkeypatch) -> None:
    """Take away what the run that this test is in has put there, until the test ends.

    Modules too: one of the same name as a file of the inner run would be taken for it.
    """
    for name in ("PYTEST_XDIST_WORKER", "CELLBENCH_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("test_speed", "test_long", "my_cell"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def run_pytest(pytester, *arguments: str):
    """Run pytest in the folder of `pytester`; `told` of what comes back has its warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")  # not this project's: errors
        result = pytester.runpytest_inprocess(*PLUGIN, *FEW, *arguments)
    result.told = [str(one.message) for one in told]
    return result
