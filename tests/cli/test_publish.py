"""Putting a gate's result where CI looks, and what that does to the exit code."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from gate_reports import EVERY, FAILED, GOOD, UNSURE, gate, timed, void

from cellbench.cli.publish import publish
from cellbench.errors import Exit
from cellbench.report.gate_data import read_gate_report
from cellbench.report.gate_markdown import COMMENT_BYTES, MARKER, SUMMARY_BYTES
from cellbench.report.where_ci_looks import marks, output_lines
from cellbench.verdicts import Verdict

PASSED = gate(*GOOD)
REGRESSED = gate(*EVERY, exit=1)


def outputs(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_outside_of_ci_only_what_was_asked_for_is_written(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert publish(PASSED, {}) == Exit.OK
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_every_file_is_whole_and_in_a_folder_that_need_not_exist(tmp_path) -> None:
    paths = {name: tmp_path / "reports" / name for name in ("junit", "json", "markdown")}

    assert publish(REGRESSED, {}, **paths) == Exit.REGRESSED
    assert read_gate_report(paths["json"]) == REGRESSED
    assert ET.parse(paths["junit"]).getroot().tag == "testsuites"  # noqa: S314 -- our own
    assert paths["markdown"].read_text(encoding="utf-8").startswith(MARKER)
    assert paths["markdown"].stat().st_size < COMMENT_BYTES


def test_a_file_that_is_written_again_is_replaced(tmp_path) -> None:
    path = tmp_path / "gate.json"
    publish(REGRESSED, {}, json=path)
    publish(PASSED, {}, json=path)

    assert read_gate_report(path) == PASSED


def test_on_a_runner_summary_outputs_and_annotations_are_filled(tmp_path, capsys) -> None:
    summary, output = tmp_path / "summary", tmp_path / "output"
    summary.write_text("# Earlier\n")
    output.write_text("other=1\n")
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_OUTPUT": str(output),
    }

    assert publish(REGRESSED, environ) == Exit.REGRESSED
    assert summary.read_text(encoding="utf-8").startswith("# Earlier\n**failed: my\\_cell.py")
    assert MARKER not in summary.read_text(encoding="utf-8")
    assert outputs(output) == {"other": "1", "verdict": "failed", "exit-code": "1"}
    told = capsys.readouterr()
    assert told.err.startswith("::error file=my_cell.py,title=")
    assert told.out == "", "what `--format json` prints stays JSON"


@pytest.mark.parametrize("value", ["", "false", "1"])
def test_annotations_are_for_github_alone(value, capsys) -> None:
    publish(REGRESSED, {"GITHUB_ACTIONS": value, "GITLAB_CI": "true", "CI": "true"})

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("report", "lines"),
    [
        (PASSED, "verdict=passed\nexit-code=0\n"),
        (gate(*GOOD, UNSURE), "verdict=inconclusive\nexit-code=0\n"),
        (gate(UNSURE, exit=3), "verdict=inconclusive\nexit-code=3\n"),
        (void(), "verdict=void\nexit-code=5\n"),
        (gate(exit=5, exit_reason="a\nverdict=passed"), "verdict=nothing\nexit-code=5\n"),
    ],
)
def test_later_steps_get_one_word_and_a_number(report, lines) -> None:
    assert output_lines(report) == lines


@pytest.mark.parametrize("taken", [0, 1, SUMMARY_BYTES // 2, SUMMARY_BYTES - 1000])
def test_the_summary_stays_below_its_limit_whatever_is_there_already(taken, tmp_path) -> None:
    path = tmp_path / "summary"
    path.write_text("x" * taken)
    wide = [timed(f"cell_{n}" + "ü" * 5000, Verdict.INCONCLUSIVE) for n in range(120)]
    publish(gate(*wide), {"GITHUB_STEP_SUMMARY": str(path)})

    assert taken + 300 < path.stat().st_size < SUMMARY_BYTES


@pytest.mark.parametrize("taken", [SUMMARY_BYTES - 100, SUMMARY_BYTES + 5])
def test_a_summary_that_is_full_is_left_as_it_is(taken, tmp_path) -> None:
    path = tmp_path / "summary"
    path.write_text("x" * taken)

    assert publish(PASSED, {"GITHUB_STEP_SUMMARY": str(path)}) == Exit.OK
    assert path.stat().st_size == taken


@pytest.mark.parametrize(
    ("report", "code"), [(PASSED, Exit.USAGE), (REGRESSED, Exit.REGRESSED), (void(), Exit.NOTHING)]
)
def test_a_file_that_cannot_be_written_never_hides_a_regression(
    report, code, tmp_path, capsys
) -> None:
    (tmp_path / "file").touch()
    bad, good = tmp_path / "file" / "junit.xml", tmp_path / "gate.json"

    assert publish(report, {}, junit=bad, json=good) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"Error: Cannot write the gate's JUnit to {bad}: ")
    assert error.endswith("Choose another file with --junit.\n")
    assert read_gate_report(good) == report, "the others are written all the same"


def test_a_summary_that_cannot_be_written_is_said(tmp_path, capsys) -> None:
    environ = {"GITHUB_STEP_SUMMARY": str(tmp_path), "GITHUB_OUTPUT": str(tmp_path)}

    assert publish(PASSED, environ) == Exit.USAGE
    assert capsys.readouterr().err.count("Error: Cannot write the gate's") == 2


@pytest.mark.parametrize(
    ("folder", "root", "file"),
    [
        ("/repo", "/repo", "my_cell.py"),
        ("/repo/research", "/repo", "research/my_cell.py"),
        ("/repo", "", "my_cell.py"),
        ("/elsewhere", "/repo", "my_cell.py"),
    ],
)
def test_a_file_is_marked_where_it_lies_in_the_repository(folder, root, file) -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": root}
    (line,) = marks(gate(FAILED, exit=4), environ, Path(folder))

    assert line.startswith(f"::error file={file},")
