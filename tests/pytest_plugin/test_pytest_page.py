"""docs/pytest.md is true: its files are run as they stand, its commands at tiny sizes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from export_records import GOOD
from inner_pytest import MACHINE, TINY, forget_outer_run, run_pytest

from cellbench.cli import main
from cellbench.pytest_plugin.asked import KINDS, SIZES
from cellbench.report.export import FORMATS
from cellbench.store.folder import Folder

PAGE = (Path(__file__).parents[2] / "docs" / "pytest.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
SHOWN = [
    line
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
EXPORTS = re.findall(r"^    (cellbench export .*?)(?:  .*)?$", PAGE, re.MULTILINE)


def commands() -> list[tuple[str, int, str]]:
    """Return each command of pytest, the exit code shown for it, and the message shown, if any."""
    found = []
    for n, line in enumerate(SHOWN):
        if line.startswith("$ pytest "):
            after = SHOWN[n + 1 : n + 4]
            asked = after[1:2] == ["$ echo $?"]
            message = after[0].partition("with this one: ")[2] if asked else ""
            found.append((line[2:], int(after[2]) if asked else 0, message))
    return found


@pytest.fixture
def here(pytester, monkeypatch) -> Path:
    forget_outer_run(monkeypatch)
    pytester.makepyfile(conftest=MACHINE)
    for name, text in FILES.items():
        (pytester.path / name).write_text(text)
    return pytester.path


@pytest.mark.usefixtures("here")
def test_the_commands_do_what_is_shown_in_the_order_they_stand(pytester) -> None:
    """At tiny sizes; the command with xdist, which takes seconds, is in the other file."""
    for command, code, message in commands():
        arguments = shlex.split(command)[1:]
        if "-n" in arguments:
            continue
        loose = [one.replace("900%", "99999%") for one in arguments]  # one call is no timing
        result = run_pytest(pytester, *TINY, "-W", "ignore", *loose)

        assert result.ret == code, command
        assert message in result.stderr.str()


def test_every_command_was_read() -> None:
    assert len(commands()) == PAGE.count("$ pytest ") == 7
    assert [code for _, code, _ in commands() if code] == [6]


@pytest.mark.parametrize("command", EXPORTS)
def test_an_export_of_the_page_works(command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELLBENCH_OUTPUT", raising=False)
    if "parquet" in command:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    for line in GOOD:
        Folder(tmp_path / "results" / "local").journal.append(line)
    result = CliRunner().invoke(main, shlex.split(command)[1:])

    assert result.exit_code == 0, result.output
    assert (tmp_path / shlex.split(command)[-1]).exists()


def test_every_option_and_format_is_told() -> None:
    for name in ("cells", "time", "device", "dtype"):
        assert f"`--cellbench-{name}" in PAGE
    assert all(f"`-{name}`" in PAGE or f"-{name}" in PAGE for name in (*SIZES, *KINDS, "threads"))
    assert {command.split()[3] for command in EXPORTS} == set(FORMATS)
