"""`cellbench export`: files, standard output, and exit codes."""

from __future__ import annotations

import importlib
import json

import pytest
from click.testing import CliRunner
from export_records import BAD, GOOD, OTHER_MACHINE, speed
from records import ENVIRONMENT

from cellbench.cli import main
from cellbench.errors import Exit
from cellbench.report.export import FORMATS
from cellbench.store.folder import Folder


@pytest.fixture
def export(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELLBENCH_OUTPUT", raising=False)

    def export(lines, *arguments: str):
        folder = Folder(tmp_path / "results" / "local")
        for line in lines:
            folder.journal.append(line)
        return CliRunner().invoke(main, ["export", *arguments])

    export.here = tmp_path
    return export


@pytest.mark.parametrize(
    "to",
    [
        ["csv"],
        ["csv", "--samples"],
        ["bmf"],
        ["pytest-benchmark"],
        ["github-action-benchmark", "--direction", "smaller"],
    ],
)
def test_a_format_is_printed_and_nothing_else_is(export, to) -> None:
    result = export(GOOD, "--to", *to)

    assert result.exit_code == Exit.OK, result.output
    assert result.stderr == ""
    assert "lstm" in result.stdout or "--samples" in to
    if to[0] != "csv":
        assert json.loads(result.stdout)


def test_a_file_gets_what_would_have_been_printed(export) -> None:
    printed = export(GOOD, "--to", "bmf").stdout
    result = export([], "--to", "bmf", "-o", "out.json")

    assert (result.exit_code, result.stdout) == (Exit.OK, "")
    assert (export.here / "out.json").read_text() == printed


def test_both_directions_go_into_a_folder(export) -> None:
    result = export(GOOD, "--to", "github-action-benchmark", "-o", "charts")

    assert result.exit_code == Exit.OK
    assert {path.name for path in (export.here / "charts").iterdir()} == {
        "customSmallerIsBetter.json",
        "customBiggerIsBetter.json",
    }


@pytest.mark.parametrize("to", ["bmf", "pytest-benchmark"])
def test_a_cell_without_a_value_is_left_out_and_the_exit_code_says_so(export, to) -> None:
    result = export([*GOOD, *BAD], "--to", to)

    assert result.exit_code == Exit.FAILED
    assert "mine.py:Mine" not in result.stdout
    assert "Left out, since it has no value: mine.py:Mine T=8" in result.stderr
    assert json.loads(result.stdout), "the file is whole"


def test_in_a_table_a_failure_is_a_row(export) -> None:
    result = export([*GOOD, *BAD], "--to", "csv")

    assert result.exit_code == Exit.OK
    assert "crashed" in result.stdout


@pytest.mark.parametrize(
    ("lines", "arguments", "code", "message"),
    [
        ([ENVIRONMENT], ["--to", "csv"], Exit.NOTHING, "There is no result to export"),
        ([ENVIRONMENT, *BAD], ["--to", "bmf"], Exit.NOTHING, "There is no value to export"),
        ([], ["--to", "bmf"], Exit.USAGE, "There are no results in"),
        (
            [*GOOD, OTHER_MACHINE, speed("gru", env="other")],
            ["--to", "bmf"],
            Exit.INCOMPARABLE,
            "Export each machine's alone",
        ),
        (GOOD, ["--to", "bmf", "--samples"], Exit.USAGE, "--samples is for csv and parquet"),
        (GOOD, ["--to", "csv", "--direction", "bigger"], Exit.USAGE, "--direction is for"),
        (GOOD, ["--to", "github-action-benchmark"], Exit.USAGE, "give --direction, or a folder"),
        (GOOD, ["--to", "bmf", "-o", "no/such/x.json"], Exit.USAGE, "Choose another --output"),
        (GOOD, ["--to", "xml"], Exit.USAGE, "'xml' is not one of"),
        (GOOD, [], Exit.USAGE, "--to"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_its_exit_code(
    export, lines, arguments, code, message
) -> None:
    result = export(lines, *arguments)

    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_every_format_is_a_module_with_an_exporter() -> None:
    assert all(callable(importlib.import_module(name).export) for name in FORMATS.values())
