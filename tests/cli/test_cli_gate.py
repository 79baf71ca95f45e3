"""`cellbench gate`, as far as it goes before it starts a process: nothing here ever passes."""

from __future__ import annotations

import subprocess

import pytest
from click.testing import CliRunner

from cellbench.cli import main
from cellbench.errors import Exit
from cellbench.regress import sides


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Stand in a repository of one commit; let no process begin."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "a"],
    ):
        subprocess.run(["git", *command], check=True)  # noqa: S607

    def start(*_, **__):
        pytest.fail("a process was started")

    monkeypatch.setattr(sides, "Process", start)
    return tmp_path


def gate(*arguments):
    return CliRunner().invoke(main, ["gate", *arguments])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], Exit.USAGE, "Name one of --base REV, --baseline FILE"),
        (["--base", "main", "--baseline", "b.jsonl"], Exit.USAGE, "Name one of"),
        (["--base", "nowhere"], Exit.NOTHING, "git knows no nowhere"),
        (["--baseline", "b.jsonl"], Exit.NOTHING, "There is no baseline b.jsonl"),
        (["--base", "main", "--margin", "0"], Exit.USAGE, "--margin must be a share"),
        (["--base", "main", "--margin", "abc"], Exit.USAGE, "--margin must be a share"),
        (["--base", "main", "--metrics", "speed"], Exit.USAGE, "not 'speed'"),
        (["--base", "main", "--cells", "rnn", "--control", "rnn"], Exit.USAGE, "gated itself"),
        (["--base", "main", "--accept", "lstm"], Exit.USAGE, "must be CELL:METRIC"),
        (["--base", "main", "--level", "nothing"], Exit.USAGE, "no task named 'nothing'"),
        (["--base", "main", "--launches", "4"], Exit.USAGE, "launches"),
    ],
)
def test_what_cannot_be_gated_is_said_in_one_line(arguments, code, said) -> None:
    done = gate(*arguments)

    assert done.exit_code == code, done.output
    assert said in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_a_torn_baseline_never_passes(here) -> None:
    (here / "b.jsonl").write_text('{"kind":"facts"')
    done = gate("--baseline", "b.jsonl")

    assert done.exit_code == Exit.USAGE
    assert "b.jsonl is torn" in done.output


def test_a_folder_without_a_repository_has_no_base(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    done = gate("--base", "main")

    assert done.exit_code == Exit.NOTHING
    assert "--baseline FILE.jsonl" in done.output


def test_changed_files_are_no_baseline(here) -> None:
    (here / "a.txt").write_text("b")
    done = gate("--save-baseline", "b.jsonl")

    assert done.exit_code == Exit.USAGE
    assert "commit or stash" in done.output
    assert not (here / "b.jsonl").exists()


def test_ctrl_c_says_what_is_kept(monkeypatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cellbench.cli.gating.run_gate", interrupted)
    done = gate("--base", "main")

    assert done.exit_code == Exit.INTERRUPTED
    assert "finished launches are kept in results/local-gate" in done.output
