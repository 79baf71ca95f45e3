"""A plug-in for pytest: the fixture `benchmark_cell`, over pytest-benchmark.

    def test_train_step(benchmark_cell):
        benchmark_cell.train_step()

pytest loads this wherever cellbench is installed, so nothing heavy is imported until a test asks
for the fixture: not torch, and not pytest-benchmark, which may be absent.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from cellbench.errors import CellbenchError, Exit, IncomparableError
from cellbench.pytest_plugin.asked import KINDS, MARK, SIZES, asked_of, positive
from cellbench.pytest_plugin.saved import Saved, other_machine

if TYPE_CHECKING:
    from cellbench.pytest_plugin.timing import BenchmarkCell
    from cellbench.record import Environment

FIXTURE = "benchmark_cell"

NO_CELL = (
    "benchmark_cell has no cell to time: name some with --cellbench-cells my_cell.py:MyCell, with "
    '@pytest.mark.cellbench(cells="my_cell.py:MyCell") on the test, or with cellbench_cells in the '
    "configuration of pytest."
)

NO_BENCHMARK = "benchmark_cell needs pytest-benchmark: pip install 'cellbench[pytest]'."

ALONE = "Checked, and not timed: cells share the machine under xdist. Time them with -n 0."

NO_SAVED_RUN = (
    "There is no saved run to compare cells with: save one first, with --benchmark-save=NAME and "
    "without --benchmark-compare."
)

_saved = pytest.StashKey[list[Saved]]()
_environment = pytest.StashKey["Environment"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options; all begin with `--cellbench-`, so that none clashes."""
    group = parser.getgroup("cellbench", "cells to time with the fixture benchmark_cell")
    group.addoption(
        "--cellbench-cells",
        metavar="LIST",
        help="Names, FILE.py:CLASS, or package.module:CLASS, as in `cellbench perf --cells`; a "
        "file is relative to the current directory. Replaces marks and configuration.",
    )
    for name, (usual, what) in SIZES.items():
        text = f"{what}. Replaces marks. Default: {usual}."
        group.addoption(f"--cellbench-{name}", metavar="N", type=positive, help=text)
    device = os.environ.get("CELLBENCH_DEVICE", "auto")
    group.addoption(
        "--cellbench-device",
        default=device,
        help="auto, cpu, cuda, or cuda:N. Default: %(default)s.",
    )
    for name, (choices, what) in KINDS.items():
        text = f"{what}. Default: %(default)s."
        group.addoption(f"--cellbench-{name}", default=choices[0], choices=choices, help=text)
    text = "CPU threads while timing. Default: %(default)s."
    group.addoption("--cellbench-threads", metavar="N", type=positive, default=1, help=text)
    text = "Cells to time where neither the command line nor a mark names any; files are relative "
    parser.addini("cellbench_cells", text + "to the root directory.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Describe our mark, for --strict-markers and --markers."""
    config.addinivalue_line("markers", f"{MARK}(cells, time, batch, hidden): what to time.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each cell; find what is wrong with a name before anything runs."""
    if FIXTURE not in metafunc.fixturenames:
        return
    if not any(
        map(metafunc.config.pluginmanager.hasplugin, ("benchmark", "pytest_benchmark.plugin"))
    ):
        pytest.fail(NO_BENCHMARK, pytrace=False)
    try:
        cells = asked_of(metafunc.config, metafunc.definition).names()
    except CellbenchError as error:
        raise _in_one_line(error) from None
    if cells:
        metafunc.parametrize(FIXTURE, cells, indirect=True, ids=cells)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let pytest-benchmark time blocks of calls, as long as cellbench's own.

    Ends the session if cells are to be compared with nothing: that must not pass.
    """
    ours = [item for item in items if FIXTURE in getattr(item, "fixturenames", ())]
    if not ours:
        return
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    if alone and config.getoption("benchmark_compare") and not config.stash.get(_saved, []):
        pytest.exit(NO_SAVED_RUN, returncode=Exit.NOTHING)
    from cellbench.pytest_plugin.timing import rounds_of  # noqa: PLC0415 -- imports torch

    for item in ours:
        mark = item.get_closest_marker("benchmark")
        given = dict(mark.kwargs) if mark else {}
        try:
            rounds = rounds_of(config.getoption, given)
        except CellbenchError as error:
            raise pytest.UsageError(str(error)) from None
        item.add_marker(pytest.mark.benchmark(**rounds | given), append=False)


@pytest.fixture
def benchmark_cell(request: pytest.FixtureRequest, benchmark: Any) -> BenchmarkCell:
    """One cell after another, to be timed by `train_step()`, `inference()` or `streaming()`.

    Each test times one kind of call once. Before that the cell's ways through time are compared
    with one another and its outputs looked at; one that fails either is not timed, and the test
    fails with the reason.
    """
    if not hasattr(request, "param"):
        pytest.fail(NO_CELL, pytrace=False)
    from cellbench.pytest_plugin.timing import BenchmarkCell, settled  # noqa: PLC0415 -- imports torch

    config, node = request.config, request.node
    if benchmark.disabled and "PYTEST_XDIST_WORKER" in os.environ:
        node.warn(pytest.PytestWarning(ALONE))
    asked, saved = asked_of(config, node), config.stash.get(_saved, [])
    try:
        env = _environment_of(config)
    except CellbenchError as error:
        raise _in_one_line(error) from None
    settings = ExitStack()
    settings.enter_context(settled(asked.threads))
    request.addfinalizer(settings.close)  # noqa: PT021 -- checks of shapes would hide a `yield`
    return BenchmarkCell(request.param, asked, env, benchmark, saved=saved, warn=node.warn)


def _in_one_line(error: CellbenchError) -> BaseException:
    return pytest.fail.Exception(str(error), pytrace=False)


def _environment_of(config: pytest.Config) -> Environment:
    """Describe the machine, once in a session."""
    if _environment not in config.stash:
        from cellbench.pytest_plugin.timing import describe  # noqa: PLC0415 -- imports torch

        config.stash[_environment] = describe(asked_of(config))
    return config.stash[_environment]


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Save the facts that must agree before two speeds are compared, if a cell was timed."""
    if _environment in config.stash:
        machine_info["cellbench"] = config.stash[_environment].key


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_benchmark_compare_machine_info(
    config: pytest.Config, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
) -> None:
    """End the session before anything is timed if a saved run is of another machine.

    With the exit code that cellbench has for it: a comparison that means nothing must not pass,
    nor look like a slower cell.
    """
    saved = Saved.read(compared_benchmark)
    config.stash.setdefault(_saved, []).append(saved)
    if saved.key is None:
        return
    try:
        now = _environment_of(config).key
    except CellbenchError as error:
        raise pytest.UsageError(str(error)) from None
    differs = other_machine(saved, now)
    if differs:
        pytest.exit(str(IncomparableError(differs)), returncode=Exit.INCOMPARABLE)
    machine_info["cellbench"] = now  # so that pytest-benchmark itself sees two equal machines
