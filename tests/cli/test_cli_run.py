"""The whole way, as a user goes it: real commands, in their own processes, on tiny levels."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cellbench.record import Measurement, Status, Trial
from cellbench.store.folder import Folder
from cellbench.store.manifest import read_manifest

TOYS = Path(__file__).parent.parent / "toy_cells.py"
TINY = ["--tasks", "copying/tiny", "--hidden", "16", "--steps", "50"]
BRANCHES = """

class Branches(Plain):
    def step(self, p_t, state):
        y, state = super().step(p_t, state)
        return (y if y.detach().abs().max() < 2 else y / 2), state
"""


def environment(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("CELLBENCH_")} | more


@pytest.fixture
def cellbench(tmp_path):
    (tmp_path / "toys.py").write_text(TOYS.read_text() + BRANCHES)

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cellbench", *arguments],
            cwd=tmp_path,
            env=environment(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    run.folder = Folder(tmp_path / "results" / "local")
    return run


def records(folder: Folder, kind: type):
    return [line for line in folder.journal if isinstance(line, kind)]


def test_a_run_prints_a_table_and_the_same_command_again_does_nothing_twice(cellbench) -> None:
    first = cellbench("run", "--cells", "lstm,min_gru", "--seeds", "2", *TINY)

    assert first.returncode == 0, first.stderr
    assert "copying/tiny" in first.stdout
    assert "min_gru" in first.stdout
    assert "\x1b" not in first.stdout, "no colours in a pipe"
    assert "lstm @ copying/tiny seed 1" in first.stderr
    written = cellbench.folder.journal.path.read_bytes()
    second = cellbench("run", "--cells", "lstm,min_gru", "--seeds", "2", *TINY)

    assert second.returncode == 0
    assert second.stdout == first.stdout
    assert "4 of 4 trials are done from before" in second.stderr
    assert cellbench.folder.journal.path.read_bytes() == written
    third = cellbench("run", "--cells", "lstm,min_gru", "--seeds", "3", "-q", *TINY)

    assert third.stderr == ""
    assert len(records(cellbench.folder, Trial)) == 6
    assert len(records(cellbench.folder, Measurement)) == 2
    runs = read_manifest(cellbench.folder.manifest).runs
    assert [len(run.unit_ids) for run in runs] == [4, 4, 6]
    assert {t.run_id for t in records(cellbench.folder, Trial)} == {runs[0].run_id, runs[2].run_id}


def test_fresh_does_everything_again_and_deletes_nothing(cellbench) -> None:
    command = ["run", "--cells", "lstm", "--seeds", "1", *TINY]
    cellbench(*command)
    again = cellbench(*command, "--fresh")
    first, second = records(cellbench.folder, Trial)

    assert again.returncode == 0
    assert first.unit_id == second.unit_id
    assert first.test_loss == second.test_loss
    assert len(records(cellbench.folder, Measurement)) == 2
    cellbench(*command, "--remeasure")

    assert len(records(cellbench.folder, Trial)) == 2
    assert len(records(cellbench.folder, Measurement)) == 3


def test_a_cell_that_fails_is_a_row_the_others_go_on_and_the_exit_code_tells(cellbench) -> None:
    cells = "toys.py:Raises,toys.py:NotANumber,toys.py:WrongShape,lstm"
    result = cellbench("run", "--cells", cells, "--seeds", "1", "--format", "json", *TINY)
    rows = {row["cell"]: row for row in json.loads(result.stdout)}

    assert result.returncode == 4
    assert rows["toys.py:Raises"]["failures"] == {"crashed": 1}
    assert "ZeroDivisionError: one step too many (toys.py:" in rows["toys.py:Raises"]["notes"][0]
    assert rows["toys.py:NotANumber"]["failures"] == {"diverged": 1}
    assert rows["toys.py:WrongShape"]["failures"] == {"crashed": 1}
    assert rows["lstm"]["failures"] == {}
    assert rows["lstm"]["train_sequences_per_s"] > 0
    again = cellbench("run", "--cells", cells, "--seeds", "1", *TINY)

    assert again.returncode == 4, "a failure does not turn into success by asking again"


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path, cellbench) -> None:
    command = ["run", "--cells", "lstm,toys.py:Slow", "--seeds", "1", "-j", "2", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "cellbench", *command],
        cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not records(cellbench.folder, Trial) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    _, told = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Interrupted: 1 of 2 trials are kept in results/local" in told
    assert "run the same command again" in told
    assert "Traceback" not in told
    assert [t.cell for t in records(cellbench.folder, Trial)] == ["lstm"]


def test_a_killed_run_goes_on_where_it_stopped(tmp_path, cellbench) -> None:
    command = ["run", "--cells", "lstm,gru", "--seeds", "2", "-j", "1", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "cellbench", *command],
        cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not records(cellbench.folder, Trial) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    with cellbench.folder.journal.path.open("a") as file:
        file.write('{"schema":1,"kind":"tri')  # as if the kill had come in the middle of a write
    kept = len(records(cellbench.folder, Trial))
    result = cellbench(*command)

    assert result.returncode == 0
    assert f"{kept} of 4 trials are done from before" in result.stderr
    assert len(records(cellbench.folder, Trial)) == 4


def test_a_time_limit_is_an_outcome(cellbench) -> None:
    limit = ["--time-limit", "0.05"]
    result = cellbench("run", "--cells", "toys.py:Slow", "--seeds", "1", *TINY, *limit)
    (found,) = records(cellbench.folder, Trial)

    assert result.returncode == 4
    assert found.status is Status.TIMEOUT
    assert "timeout" in result.stdout


def test_a_dry_run_says_what_is_missing_and_writes_nothing(cellbench) -> None:
    result = cellbench("run", "--cells", "lstm,gru", "--seeds", "2", "--dry-run", *TINY)

    assert result.returncode == 0
    assert "lstm @ copying/tiny: seeds 0, 1 to train, at most 50 steps each" in result.stdout
    assert "4 trials, 0 of them done before; 2 measurements" in result.stdout
    assert not cellbench.folder.path.exists()


def test_seeds_that_are_trained_at_once_are_the_same_trials(cellbench) -> None:
    command = ["run", "--cells", "toys.py:Plain", "--seeds", "3", "-j", "1", *TINY]
    planned = cellbench(*command, "--stack", "3", "--dry-run")
    together = cellbench(*command, "--stack", "3", "--format", "json")
    (row,) = json.loads(together.stdout)
    trials = records(cellbench.folder, Trial)
    again = cellbench(*command, "--stack", "1")

    assert "at most 50 steps each, 3 at once" in planned.stdout
    assert together.returncode == 0, together.stderr
    assert row["stacked"] == 3
    assert [trial.stacked for trial in trials] == [3, 3, 3]
    assert {trial.fallback for trial in trials} == {""}
    assert "3 of 3 trials are done from before" in again.stderr
    assert len(records(cellbench.folder, Trial)) == 3
    cellbench(*command, "--stack", "1", "--fresh")
    alone = records(cellbench.folder, Trial)[3:]

    assert {t.unit_id for t in alone} == {t.unit_id for t in trials}
    losses = {t.unit_id: t.test_loss for t in trials}
    assert all(t.test_loss == pytest.approx(losses[t.unit_id], rel=1e-2) for t in alone)


def test_a_cell_that_cannot_be_stacked_is_trained_seed_by_seed_and_the_table_says_why(
    cellbench,
) -> None:
    command = ["run", "--cells", "toys.py:Branches", "--seeds", "2", "--stack", "2", *TINY]
    result = cellbench(*command)
    trials = records(cellbench.folder, Trial)

    assert result.returncode == 0, result.stderr
    assert [trial.stacked for trial in trials] == [1, 1]
    assert all(trial.fallback.startswith("not stacked: ") for trial in trials)
    assert "not stacked" in result.stdout
    assert "each seed alone now" in result.stderr


def test_the_environment_chooses_seeds_output_and_device(cellbench, tmp_path) -> None:
    more = {"CELLBENCH_SEEDS": "2", "CELLBENCH_OUTPUT": "mine", "CELLBENCH_DEVICE": "cpu"}
    cellbench("run", "--cells", "position", *TINY, **more)

    assert len(records(Folder(tmp_path / "mine"), Trial)) == 2


def test_modules_of_torchs_own_signatures_run_unchanged(cellbench) -> None:
    cells = "torch.nn:LSTM,torch.nn:GRUCell"
    result = cellbench("run", "--cells", cells, "--seeds", "1", "--format", "json", *TINY)
    rows = {row["cell"]: row for row in json.loads(result.stdout)}

    assert result.returncode == 0, result.stderr
    assert rows["torch.nn:LSTM"]["unrolled"] == "parallel"
    assert rows["torch.nn:GRUCell"]["unrolled"] == "stepwise"
    assert rows["torch.nn:GRUCell"]["state_bytes"] == 64


def test_a_report_is_the_same_rows_in_every_format(cellbench) -> None:
    cellbench("run", "--cells", "lstm", "--seeds", "1", "-q", *TINY)
    as_json = json.loads(cellbench("report", "--format", "json").stdout)
    (as_csv,) = csv.DictReader(io.StringIO(cellbench("report", "--format", "csv").stdout))
    markdown = cellbench("report", "results/local/results.jsonl", "--format", "markdown").stdout

    assert [row["id"] for row in as_json] == [as_csv["id"]] == ["lstm @ copying/tiny"]
    assert float(as_csv["skill"]) == as_json[0]["skill"]
    assert "| lstm |" in markdown


def test_a_table_is_as_wide_as_it_is_told(cellbench) -> None:
    result = cellbench("run", "--cells", "random_search(draws=20, hidden=4)", *TINY, COLUMNS="80")

    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "random_search" in result.stdout


@pytest.mark.parametrize(
    ("kind", "some"), [("cells", "hyperlstm"), ("tasks", "copying/delay-2000"), ("suites", "quick")]
)
def test_what_can_be_named_is_listed_in_every_format(cellbench, kind, some) -> None:
    listed = json.loads(cellbench("list", kind, "--format", "json").stdout)

    assert some in [row["id"] for row in listed]
    for form in ("table", "markdown", "csv"):
        assert some in cellbench("list", kind, "--format", form).stdout


def test_check_passes_a_good_cell_and_fails_a_bad_one(cellbench) -> None:
    good = cellbench("check", "toys.py:Plain")
    bad = cellbench("check", "toys.py:Disagrees", "--format", "json")
    outcomes = {row["id"]: row["outcome"] for row in json.loads(bad.stdout)}

    assert good.returncode == 0, good.stdout
    assert "passed, 0 failed" in good.stdout
    assert bad.returncode == 4
    assert outcomes["parallel"] == "failed"


@pytest.mark.parametrize("form", ["table", "json"])
def test_output_that_nobody_reads_is_no_regression(tmp_path, form) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "cellbench", "list", "tasks", "--format", form],
        cwd=tmp_path, env=environment(), stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)

    assert done.returncode == 141
    assert done.stderr == b""


def test_doctor_says_what_must_agree(cellbench) -> None:
    found = json.loads(cellbench("doctor", "--device", "cpu", "--format", "json").stdout)

    assert found["key"]["cudnn.allow_tf32"] == "False"
    assert cellbench("doctor", "--device", "cpu").returncode == 0
