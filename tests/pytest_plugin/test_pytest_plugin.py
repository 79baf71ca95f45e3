"""The plug-in, in the hands of a cell's author: real runs of pytest at tiny sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from inner_pytest import MACHINE, PLUGIN, TINY, forget_outer_run, run_pytest

from cellbench.errors import Exit
from cellbench.measure.precision import precision_flags
from cellbench.measure.timing import BLOCK_S
from cellbench.pytest_plugin import ALONE, NO_BENCHMARK, NO_SAVED_RUN
from cellbench.pytest_plugin.saved import Saved, another_question, other_machine
from cellbench.pytest_plugin.timing import rounds_of, settled, synchronised

THREE_LINES = """
def test_train_step(benchmark_cell):
    benchmark_cell.train_step()
"""

CELLS = """
import torch, warnings
from torch import nn
from cellbench.cells.base import ParallelCell

class MyCell(nn.GRUCell):
    pass

class TwoMinded(ParallelCell):
    "Its parallel form is another cell."
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight = nn.Parameter(torch.ones(hidden_size))
    def initial_state(self, batch):
        return (self.weight.new_zeros(batch, self.hidden_size),)
    def step(self, p_t, state):
        h = self.weight * (p_t + state[0])
        return h, (h,)
    def parallel(self, p, state):
        return self.weight * p, (self.weight * p[-1],)

class NotFinite(nn.GRUCell):
    def forward(self, x, h):
        return super().forward(x, h) / 0

class Meddling(nn.GRUCell):
    def forward(self, x, h):
        torch.backends.cuda.matmul.allow_tf32 = True
        return super().forward(x, h)
"""

WARNING = """
class Warning(nn.GRUCell):
    def forward(self, x, h):
        warnings.warn("`torch.jit.script` is deprecated", DeprecationWarning)
        return super().forward(x, h)
"""


@pytest.fixture
def run(pytester, monkeypatch):
    forget_outer_run(monkeypatch)
    pytester.makepyfile(test_speed=THREE_LINES, my_cell=CELLS, conftest=MACHINE)

    def run(*arguments: str, times: Sequence[str] = TINY):
        return run_pytest(pytester, *times, *arguments)

    run.folder = pytester.path
    return run


def saved(folder: Path) -> list[Path]:
    return sorted(folder.glob(".benchmarks/*/*.json"))


def edit(path: Path, change) -> None:
    output = json.loads(path.read_text())
    change(output)
    path.write_text(json.dumps(output))


# --- what a test times ----------------------------------------------------------------------


def test_three_lines_time_each_cell_and_say_what_it_costs(run) -> None:
    cells = "--cellbench-cells=lstm,my_cell.py:MyCell"
    result = run(cells, "--benchmark-json=out.json")

    result.assert_outcomes(passed=2)
    output = json.loads((run.folder / "out.json").read_text())
    first, second = output["benchmarks"]
    assert first["fullname"] == "test_speed.py::test_train_step[lstm]"
    assert second["fullname"] == "test_speed.py::test_train_step[my_cell.py:MyCell]"
    assert {one["group"] for one in (first, second)} == {"train_step T=4 B=2 H=4"}
    about = first["extra_info"]
    assert about["cell"] == "lstm"
    assert about["parameters"] == 4 * (4 * 4 + 4 * 4 + 2 * 4), "four gates"
    assert about["unrolled"] == "stepwise"
    assert about["static_bytes"] == 4 * about["parameters"]
    assert about["peak_allocated_bytes"] > about["static_bytes"]
    assert about["key"] == output["machine_info"]["cellbench"]
    assert about["key"]["threads"] == "1"


def test_every_kind_of_call_has_a_table_of_its_own(run) -> None:
    calls = ("train_step", "inference", "streaming")
    tests = "".join(f"def test_{c}(benchmark_cell):\n    benchmark_cell.{c}()\n" for c in calls)
    (run.folder / "test_speed.py").write_text(tests)
    wide = [one.replace("hidden=4", "hidden=32") for one in TINY]
    result = run("--cellbench-cells=gru", "--benchmark-json=out.json", times=wide)

    result.assert_outcomes(passed=3)
    found = json.loads((run.folder / "out.json").read_text())["benchmarks"]
    assert [one["group"] for one in found] == [
        "train_step T=4 B=2 H=32",
        "inference T=4 B=2 H=32",
        "streaming H=32",
    ]
    assert [one["extra_info"]["metric"] for one in found] == list(calls)
    step = found[2]["extra_info"]
    assert step["static_bytes"] == 4 * 3 * (2 * 32 * 32 + 2 * 32)
    assert 1 < step["peak_allocated_bytes"] / step["static_bytes"] < 1.2, "one step adds little"


def test_the_command_line_comes_before_a_mark_and_a_mark_before_the_configuration(run) -> None:
    (run.folder / "pytest.ini").write_text("[pytest]\ncellbench_cells = gru\n")
    (run.folder / "test_speed.py").write_text(
        "import pytest\n"
        f"{THREE_LINES}"
        "@pytest.mark.cellbench(cells='my_cell.py:MyCell', time=3)\n"
        "class TestMine:\n"
        "    @pytest.mark.cellbench(time=2)\n"
        "    def test_mine(self, benchmark_cell):\n"
        "        benchmark_cell.inference()\n"
    )
    tiny = [one for one in TINY if "time=4" not in one]
    quiet = run("-v", "--strict-markers", times=tiny)
    told = run("-v", "--cellbench-cells=rnn", "--cellbench-time=5", times=tiny)

    quiet.stdout.fnmatch_lines(["*test_train_step[[]gru[]] PASSED*", "*my_cell.py:MyCell] PASSED*"])
    quiet.stdout.fnmatch_lines(["*'inference T=2 B=2 H=4'*"])
    told.stdout.fnmatch_lines(["*test_train_step[[]rnn[]] PASSED*", "*test_mine[[]rnn[]] PASSED*"])
    told.stdout.fnmatch_lines(["*'inference T=5 B=2 H=4'*"])


def test_a_group_that_the_author_chose_is_kept(run) -> None:
    mark = "import pytest\n@pytest.mark.benchmark(group='mine')"
    (run.folder / "test_speed.py").write_text(mark + THREE_LINES)

    run("--cellbench-cells=gru").stdout.fnmatch_lines(["*'mine'*"])


# --- what is wrong with the question --------------------------------------------------------


def test_without_a_cell_a_test_says_how_to_name_one_and_the_others_go_on(run) -> None:
    (run.folder / "test_speed.py").write_text(THREE_LINES + "def test_other():\n    pass\n")
    result = run()

    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["benchmark_cell has no cell to time: *--cellbench-cells*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cellbench-cells=lstn"], "*no cell named 'lstn'; did you mean *"),
        (["--cellbench-cells=lstm,"], "*empty name between its commas*"),
        (["--cellbench-cells=lstm(forget_bias=x)"], "*forget_bias*"),
        (["-p", "no:benchmark", "--cellbench-cells=lstm"], NO_BENCHMARK.replace("[", "[[]")),
    ],
)
def test_a_wrong_cell_is_told_in_one_line_before_anything_runs(run, arguments, message) -> None:
    times = TINY
    if "no:benchmark" in arguments:
        times = [one for one in TINY if "--benchmark" not in one]
        (run.folder / "conftest.py").unlink()  # has a hook of it
    result = run(*arguments, times=times)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("cell='lstm'", "*no argument 'cell'; did you mean 'cells'?*"),
        ("'lstm'", "*by name: cells='lstm'*"),
        ("cells=['lstm']", "*cells is text*"),
        ("cells='lstm', time=0", "*time is a whole number of at least 1, not 0*"),
    ],
)
def test_a_wrong_mark_is_told_in_one_line(run, mark, message) -> None:
    marked = f"import pytest\n@pytest.mark.cellbench({mark})"
    (run.folder / "test_speed.py").write_text(marked + THREE_LINES)
    result = run()

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([message])


def test_a_wrong_size_or_device_is_a_usage_error(run) -> None:
    size = run("--cellbench-cells=lstm", times=("--cellbench-time=0",))
    device = run("--cellbench-cells=lstm", times=("--cellbench-device=tpu",))

    assert size.ret == device.ret == pytest.ExitCode.USAGE_ERROR
    size.stderr.fnmatch_lines(["*'0' is no whole number of at least 1*"])
    device.stderr.fnmatch_lines(["*--cellbench-device must be auto, cpu*'tpu'*"])


# --- a cell that must not be timed ----------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "reason", "disabled"),
    [
        ("TwoMinded", "*my_cell.py:TwoMinded: parallel and stepwise differ by *not timed*", False),
        ("TwoMinded", "*my_cell.py:TwoMinded: parallel and stepwise differ by *not timed*", True),
        ("NotFinite", "*my_cell.py:NotFinite: an output was not finite before timing*", False),
        ("Meddling", "*my_cell.py:Meddling: the cell changed torch's precision flags*", False),
    ],
)
def test_a_cell_whose_speed_would_mean_nothing_fails_and_is_not_saved(
    run, cell, reason, disabled
) -> None:
    auto = [one for one in TINY if "unroll" not in one]
    how = ["--benchmark-disable"] if disabled else ["--benchmark-json=out.json"]
    result = run(f"--cellbench-cells=my_cell.py:{cell}", *how, times=auto)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([reason])
    if not disabled:
        output = run.folder / "out.json"
        assert not output.exists() or not json.loads(output.read_text() or "{}").get("benchmarks")


def test_what_torch_says_of_its_own_compiler_is_no_error_of_the_cell(run) -> None:
    (run.folder / "my_cell.py").write_text(CELLS + WARNING)
    (run.folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error::DeprecationWarning\n")
    (run.folder / "test_speed.py").write_text(
        THREE_LINES
        + "def test_warning():\n    import warnings\n    warnings.warn('x', DeprecationWarning)\n"
    )

    run("--cellbench-cells=my_cell.py:Warning").assert_outcomes(passed=1, failed=1)


def test_disabled_it_checks_and_calls_once(run) -> None:
    result = run("--cellbench-cells=lstm", "--benchmark-disable", "--benchmark-json=out.json")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*Rounds*")


# --- saving and comparing -------------------------------------------------------------------


@pytest.fixture
def baseline(run) -> Path:
    """A saved run of one cell."""
    assert run("--cellbench-cells=lstm", "--benchmark-save=base").ret == 0
    (path,) = saved(run.folder)
    return path


@pytest.mark.usefixtures("baseline")
def test_a_run_is_compared_with_one_saved_on_the_same_machine(run) -> None:
    result = run("--cellbench-cells=lstm", "--benchmark-compare", "--benchmark-autosave")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_train_step[[]lstm[]] (NOW)*"])
    result.stdout.fnmatch_lines(["*test_train_step[[]lstm[]] (0001_base)*"])
    assert not [one for one in result.told if "machine_info is different" in one]
    assert len(saved(run.folder)) == 2


def test_a_saved_run_of_another_machine_ends_the_session_with_its_own_exit_code(
    run, baseline
) -> None:
    edit(baseline, lambda out: out["machine_info"]["cellbench"].update(device="Another CPU"))
    result = run("--cellbench-cells=lstm", "--benchmark-compare")

    assert result.ret == Exit.INCOMPARABLE
    result.stderr.fnmatch_lines(["*may not be compared*device was 'Another CPU' and is *"])
    result.stdout.no_fnmatch_line("*passed*")


@pytest.mark.usefixtures("baseline")
def test_other_threads_are_another_machine(run) -> None:
    result = run("--cellbench-cells=lstm", "--benchmark-compare", "--cellbench-threads=2")

    assert result.ret == Exit.INCOMPARABLE
    result.stderr.fnmatch_lines(["*threads was '1' and is '2'*"])


@pytest.mark.usefixtures("baseline")
def test_another_size_under_the_same_name_fails(run) -> None:
    wider = [one.replace("hidden=4", "hidden=5") for one in TINY]
    result = run("--cellbench-cells=lstm", "--benchmark-compare", times=wider)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*may not be compared*input was 4 and is 5, hidden was 4*"])


def test_a_saved_benchmark_without_a_key_fails(run, baseline) -> None:
    def forget(output) -> None:
        del output["machine_info"]["cellbench"]
        output["benchmarks"][0]["extra_info"] = {}

    edit(baseline, forget)
    result = run("--cellbench-cells=lstm", "--benchmark-compare")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*does not say of what cell and machine*"])


@pytest.mark.usefixtures("baseline")
def test_a_cell_that_the_saved_run_lacks_is_told(run) -> None:
    result = run("--cellbench-cells=lstm,gru", "--benchmark-compare")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*not compared: *test_speed.py::test_train_step[[]gru[]]*"])


def test_nothing_to_compare_with_is_no_success(run) -> None:
    result = run("--cellbench-cells=lstm", "--benchmark-compare")

    assert result.ret == Exit.NOTHING
    result.stdout.fnmatch_lines([f"*{NO_SAVED_RUN}*"])
    result.stdout.no_fnmatch_line("*passed*")


def test_a_slower_cell_fails_the_run(run, baseline) -> None:
    def quicker(output) -> None:
        output["benchmarks"][0]["stats"]["min"] = 1e-9

    edit(baseline, quicker)
    compare = ("--benchmark-compare", "--benchmark-compare-fail=min:300%")
    result = run("--cellbench-cells=lstm", *compare)

    assert result.ret != 0
    result.stderr.fnmatch_lines(["*Performance has regressed*"])


def test_a_project_that_times_no_cell_saves_and_compares_as_without_us(run) -> None:
    (run.folder / "test_speed.py").write_text("def test_a(benchmark):\n    benchmark(len, '')\n")
    first = run("--benchmark-save=base")
    second = run("--benchmark-compare")

    assert (first.ret, second.ret) == (0, 0)
    assert json.loads(saved(run.folder)[0].read_text())["machine_info"] == {"node": "here"}


# --- what it costs those who do not use it, and what it leaves behind -----------------------


def test_loading_it_imports_nothing_heavy(pytester) -> None:
    heavy = {"torch", "scipy", "pandas", "numpy", "msgspec"}
    pytester.makepyfile(
        "import sys\n"
        "def test_light():\n"
        "    assert 'cellbench.pytest_plugin' in sys.modules\n"
        f"    assert not {heavy!r} & set(sys.modules)\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        *PLUGIN,
        "-p",
        "no:jaxtyping",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=pytester.path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_under_xdist_a_cell_is_checked_and_a_warning_says_that_it_is_not_timed(run) -> None:
    (run.folder / "test_speed.py").write_text(THREE_LINES)
    result = run(
        "--cellbench-cells=lstm,my_cell.py:TwoMinded", "-n1", times=("--cellbench-time=4",)
    )

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"*{ALONE}*"])
    result.stdout.no_fnmatch_line("*Rounds*")


def test_what_is_global_in_torch_is_put_back() -> None:
    def look():
        return torch.get_num_threads(), precision_flags(), torch.get_rng_state().tolist()

    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        before = look()
        with settled(threads=3):
            inside = look()
            torch.manual_seed(1)
        after = look()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False

    assert inside[0] == 3
    assert inside[1]["cuda.matmul.allow_tf32"] == "False"
    assert after == before


# --- rounds and clocks ----------------------------------------------------------------------


def option(**options):
    usual = {
        "benchmark_min_time": "0.000005",
        "benchmark_max_time": "1.0",
        "cellbench_device": "cpu",
    }
    return (usual | options).__getitem__


def test_a_round_is_a_block_of_calls_unless_the_user_chose() -> None:
    assert rounds_of(option(), {}) == {"min_time": BLOCK_S}
    assert rounds_of(option(benchmark_max_time="0.1"), {}) == {"min_time": pytest.approx(0.005)}
    assert rounds_of(option(), {"max_time": 0.2}) == {"min_time": pytest.approx(0.01)}
    assert rounds_of(option(benchmark_min_time="0.01"), {}) == {}


def test_the_clock_is_read_once_the_device_has_done_its_work(monkeypatch) -> None:
    device, done = torch.device("cuda", 1), []
    monkeypatch.setattr(torch.cuda, "synchronize", done.append)
    monkeypatch.setattr("cellbench.pytest_plugin.timing.perf_counter", lambda: len(done))

    assert synchronised(device)() == 1
    assert done == [device]


# --- words ----------------------------------------------------------------------------------


def test_differences_name_each_fact_with_both_values() -> None:
    run = Saved("the saved run", {"device": "A", "threads": "1"}, {})

    assert other_machine(run, {"device": "A", "threads": "1"}) == ""
    assert "device was 'A' and is 'B', threads was '1' and is None" in other_machine(
        run, {"device": "B"}
    )


def test_a_question_is_the_same_only_if_all_of_it_is() -> None:
    asked = {"cell": "lstm", "metric": "inference", "time": 4, "key": {"device": "A"}}
    run = Saved("the saved run", None, {"t": asked})

    assert another_question("t", asked, [run]) == ""
    assert another_question("other", asked | {"time": 5}, [run]) == ""
    assert "time was 4 and is 5" in another_question("t", asked | {"time": 5}, [run])
    assert "device was 'A' and is 'B'" in another_question(
        "t", asked | {"key": {"device": "B"}}, [run]
    )
