"""The README is true: its table is that of the journal, and its commands work."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from cellbench.cells import CELLS
from cellbench.cli import main
from cellbench.report.rows import make_rows
from cellbench.report.terminal import print_rows
from cellbench.store.folder import read_lines

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line[2:] for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]
FILES = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "results" / "first-light", tmp_path / "results" / "first-light")
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_table_is_what_the_journal_gives() -> None:
    command, _, shown = BLOCKS[0].partition("\n")
    cells = re.search(r"--cells (\S+)", command)[1].split(",")
    console = Console(file=io.StringIO(), width=80)
    print_rows(make_rows(read_lines(ROOT / "results" / "first-light"), cells), console)
    given = [line.rstrip() for line in console.file.getvalue().splitlines()]

    assert [line.rstrip() for line in shown.splitlines()] == given


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("cellbench ")])
def test_a_command_of_the_readme_works(command) -> None:
    arguments = shlex.split(command)[1:]
    if arguments[0] in {"run", "perf"} and "--dry-run" not in arguments:
        arguments.append("--dry-run")
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 0, result.output
    assert result.stdout


def test_every_target_of_the_readme_is_in_the_makefile() -> None:
    makefile = ROOT / "Makefile"
    if not makefile.exists():
        pytest.skip("no Makefile beside these tests")
    targets = re.findall(r"^([a-z]+):", makefile.read_text(), re.MULTILINE)

    assert {c.split()[1] for c in COMMANDS if c.startswith("make ")} <= set(targets)


def test_every_cell_is_named() -> None:
    assert all(f"`{name}`" in README for name in CELLS)


def test_every_benchmark_figure_is_that_of_its_file() -> None:
    rows = re.findall(
        r"^\| .* \| ([\d.]+) \[([\d.]+), ([\d.]+)\] \| `(\S+)` \|$", README, re.MULTILINE
    )

    assert len(rows) >= 3
    for ratio, low, high, name in rows:
        found = json.loads((ROOT / "results" / "benchmarks" / name).read_text())

        assert (float(ratio), float(low), float(high)) == pytest.approx(
            (found["ratio"], *found["interval_95"]), abs=0.0051
        )


def test_every_task_is_named() -> None:
    names = {one.name.removesuffix(".toml") for one in files("cellbench._tasks").iterdir()}
    names -= {"suites", "__init__.py", "__pycache__"}

    assert len(names) > 60
    assert not [name for name in sorted(names) if f"`{name}`" not in README]
