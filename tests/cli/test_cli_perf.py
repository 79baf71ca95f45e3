"""`cellbench perf`, as a user goes it: real commands, in their own processes, at tiny sizes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from cellbench.cli import main
from cellbench.cli.timing import parse_sizes
from cellbench.cli.timing_progress import follow_timings
from cellbench.errors import OptionError
from cellbench.plugins import parse_cell
from cellbench.record import Failure, Speed, Status
from cellbench.store.folder import Folder
from cellbench.store.manifest import read_manifest
from cellbench.sweep.alone import Began, Ended, Known
from cellbench.sweep.speed import failed_speed
from cellbench.sweep.speed_jobs import make_speed_jobs
from cellbench.unroll import Way

TOYS = Path(__file__).parent.parent / "toy_cells.py"
TINY = ["--batch", "2", "--hidden", "4", "--device", "cpu"]


def environment(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("CELLBENCH_")} | more


@pytest.fixture
def cellbench(tmp_path):
    (tmp_path / "toys.py").write_text(TOYS.read_text())

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cellbench", "perf", *arguments],
            cwd=tmp_path,
            env=environment(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    run.folder = Folder(tmp_path / "results" / "local")
    return run


def speeds(folder: Folder) -> list[Speed]:
    return [line for line in folder.journal if isinstance(line, Speed)]


def test_tables_are_printed_and_the_same_command_again_times_nothing_twice(cellbench) -> None:
    command = ["--cells", "lstm", "--time", "4,8", *TINY]
    first = cellbench(*command, COLUMNS="80")

    assert first.returncode == 0, first.stderr
    assert "Wall time of one call" in first.stdout
    assert "±?" in first.stdout
    assert "train step, wall seconds against T" in first.stdout
    assert "\x1b" not in first.stdout, "no colours in a pipe"
    assert max(map(len, first.stdout.splitlines())) <= 80
    assert "lstm T=8 B=2 H=4: parallel: train step" in first.stderr
    written = cellbench.folder.journal.path.read_bytes()
    second = cellbench(*command, COLUMNS="80")

    assert second.returncode == 0
    assert second.stdout == first.stdout
    assert second.stderr == "2 of 2 timings were done before.\n"
    assert cellbench.folder.journal.path.read_bytes() == written
    runs = read_manifest(cellbench.folder.manifest).runs
    assert [(run.measurement_count, run.argv[1]) for run in runs] == [(2, "perf"), (2, "perf")]
    assert {s.run_id for s in speeds(cellbench.folder)} == {runs[0].run_id}
    third = cellbench("--cells", "lstm", "--time", "8,16", "-q", "--remeasure", *TINY)

    assert third.stderr == ""
    assert [s.sizes.time for s in speeds(cellbench.folder)] == [4, 8, 8, 16]


def test_failures_are_rows_the_others_go_on_and_the_exit_code_tells(cellbench) -> None:
    cells = "toys.py:NotANumber,toys.py:WrongShape,toys.py:Disagrees,toys.py:Plain"
    command = ["--cells", cells, "--time", "4", *TINY, "--format", "json"]
    result = cellbench(*command)
    rows = {row["speed"]["cell"]: row["speed"] for row in json.loads(result.stdout)["speeds"]}

    assert result.returncode == 4
    assert rows["toys.py:NotANumber"]["status"] == "diverged"
    assert rows["toys.py:WrongShape"]["status"] == "crashed"
    assert rows["toys.py:Disagrees"]["parity_ok"] is False
    assert rows["toys.py:Disagrees"]["train_step"] is None
    assert len(rows["toys.py:Plain"]["train_step"]["timings"]["blocks_s"]) >= 5
    again = cellbench(*command)

    assert again.returncode == 4, "a failure does not turn into success by asking again"
    assert again.stdout == result.stdout
    lines = list(csv.DictReader(io.StringIO(cellbench(*command, "--format", "csv").stdout)))
    assert {line["clock"] for line in lines if line["cell"] == "toys.py:Plain"} == {"wall"}
    assert "| T | B | H | cell |" in cellbench(*command, "--format", "markdown").stdout


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path, cellbench) -> None:
    command = ["--cells", "toys.py:Plain,toys.py:Hangs", "--time", "4", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "cellbench", "perf", *command],
        cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not speeds(cellbench.folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    _, told = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Interrupted: 1 of 2 timings are kept in results/local" in told
    assert "run the same command again" in told
    assert "Traceback" not in told
    assert [s.cell for s in speeds(cellbench.folder)] == ["toys.py:Plain"]
    result = cellbench(*command, "--time-limit", "0.5")

    assert result.returncode == 4
    assert [s.status for s in speeds(cellbench.folder)] == [Status.OK, Status.TIMEOUT]
    assert "allow more with --time-limit" in result.stderr


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_was_done_before_counts_and_what_goes_on_is_told_at_a_terminal(is_terminal) -> None:
    first, second = make_speed_jobs(
        [parse_cell("lstm")], times=[4, 8], batches=[2], hiddens=[4],
        device="cpu", dtype="float32", unroll=Way.AUTO,
    )  # fmt: skip
    why = Failure(type="ValueError", message="[not] markup")
    ended = Ended(second, failed_speed(second, "env", Status.CRASHED, why))
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    follow_timings([Known(first), Began(second), ended], 2, console, quiet=False)
    shown = console.file.getvalue()
    text = re.sub(r"\x1b\[[\d;?]*\w", "", shown)

    assert "lstm T=8 B=2 H=4: crashed: ValueError: [not] markup" in text
    assert "1 of 2 timings were done before." in text
    assert ("2/2" in text) == is_terminal
    assert ("\x1b" in shown) == is_terminal


def test_a_dry_run_names_every_timing_and_writes_nothing(cellbench) -> None:
    result = cellbench("--cells", "lstm,gru", "--time", "8,4", "-n", *TINY)

    assert result.returncode == 0
    assert result.stdout.splitlines()[:2] == ["lstm T=4 B=2 H=4", "gru T=4 B=2 H=4"]
    assert "4 timings" in result.stdout
    assert not cellbench.folder.path.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--time", "0,x"], ["--time", "whole numbers from 1", "not '0'"]),
        (["--time", "16,x"], ["not 'x' in '16,x'"]),
        (["--batch", "16,16"], ["--batch 16,16 has a size twice"]),
        (["--hidden", "64,"], ["--hidden", "not ''"]),
        (["--time", "9" * 5000], ["--time"]),
        (["--cells", "lsmt"], ["did you mean 'lstm'?"]),
        (["--cells", "lstm(forget=1)"], ["forget"]),
        (["--unroll", "compield"], ["compield", "compiled"]),
        (["--unroll", "parallel"], ["no parallel form"]),
        (["--dtype", "float8"], ["float8", "bfloat16"]),
        (["--device", "cuda:99"], ["cuda:99"]),
        (["--threads", "0"], ["--threads"]),
        (["--time-limit", "nan"], ["--time-limit"]),
        (["--celss", "lstm"], ["--celss", "--cells"]),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(tmp_path, monkeypatch, arguments, told) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["perf", *arguments])
    (line,) = result.stderr.splitlines()

    assert line.startswith("Error: ")
    assert result.exit_code == 2
    assert result.stdout == ""
    for part in told:
        assert part in line, part
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_journal_is_named_and_not_touched(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = tmp_path / "results" / "local" / "results.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("so much for that\n")
    result = CliRunner().invoke(main, ["perf"])

    assert result.exit_code == 2
    assert "results.jsonl:1 is damaged" in result.stderr
    assert list(journal.parent.iterdir()) == [journal]


@pytest.mark.parametrize(("text", "sizes"), [("16", (16,)), (" 128, 512 ,2048", (128, 512, 2048))])
def test_sizes_are_a_list(text, sizes) -> None:
    assert parse_sizes("--time", text) == sizes


@pytest.mark.parametrize("text", ["", ",", "0", "-1", "1.5", "1e3", "²", "16;32", "10000001"])
def test_other_sizes_are_refused(text) -> None:
    with pytest.raises(OptionError, match="--time must be"):
        parse_sizes("--time", text)
