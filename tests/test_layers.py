"""The architecture, as tests: who may import whom, who may print, who may exit."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

import cellbench

FLOORS = [
    {"errors"},
    {"record", "options", "loading"},
    {"cells", "generators", "stats", "measure", "verdicts"},
    {"catalog", "plugins", "unroll", "store"},
    {"train", "probes", "learners", "testing"},
    {"sweep", "report"},
    {"regress"},
    {"cli", "pytest_plugin", "__main__"},
]
DOORS = {"cli": {"__main__"}}  # a room of the top floor -> who opens it
ROOT = Path(cellbench.__file__).parent
PROJECT = Path(__file__).parent.parent
DATA = ROOT / "_tasks"  # beside the code in a wheel only; there is no code in it
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != DATA)

PRINTERS = {"cli", "report"}
LEAVERS = {"cli", "__main__"}
PRINTING = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "rich"}
LEAVING = {"sys.exit", "os._exit", "exit", "quit", "SystemExit"}

every_file = pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())


def floor_of(room: str) -> int:
    return next(n for n, rooms in enumerate(FLOORS) if room in rooms)


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def modules_imported(source: str) -> set[str]:
    """Return the full names in all forms of import; `from a import b` gives a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the full name of the module"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def rooms_imported(source: str) -> set[str]:
    """Return the rooms of cellbench that are imported, in a function or at the top."""
    parts = [name.split(".") for name in modules_imported(source)]
    inside = {names[1] for names in parts if names[0] == "cellbench" and len(names) > 1}
    return {name for name in inside if not name.startswith("__") or name == "__main__"}


def offences(room: str, source: str) -> set[str]:
    """Return the rooms that `room` may not import but does."""
    return {
        other
        for other in rooms_imported(source) - {room}
        if floor_of(other) >= floor_of(room) and room not in DOORS.get(other, set())
    }


def names_used(source: str) -> set[str]:
    """Return what is called or raised, by its dotted name, and the packages imported."""
    used = {name.split(".")[0] for name in modules_imported(source)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            used.add(ast.unparse(node.func))
        elif isinstance(node, ast.Raise) and node.exc is not None:
            used.add(ast.unparse(node.exc))
    return used


@every_file
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    found = offences(room, path.read_text()) if room != "__init__" else set()

    assert not found, f"{room} is on floor {floor_of(room) + 1} and uses {', '.join(found)}"


@every_file
def test_only_cli_and_report_print(path: Path) -> None:
    assert room_of(path) in PRINTERS or not names_used(path.read_text()) & PRINTING


@every_file
def test_only_cli_exits(path: Path) -> None:
    assert room_of(path) in LEAVERS or not names_used(path.read_text()) & LEAVING


def test_every_room_is_on_one_floor() -> None:
    rooms = [room for floor in FLOORS for room in floor]

    assert len(rooms) == len(set(rooms))
    assert {room_of(path) for path in FILES} - {"__init__"} <= set(rooms)


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("cells", "import cellbench.unroll", {"unroll"}),
        ("cells", "import cellbench.unroll as u", {"unroll"}),
        ("cells", "from cellbench.unroll import slices", {"unroll"}),
        ("cells", "from cellbench import unroll", {"unroll"}),
        ("cells", "def f():\n    from cellbench.train.loop import run", {"train"}),
        ("cells", "from cellbench.stats import intervals", {"stats"}),
        ("cells", "from cellbench.cells.base import Cell", set()),
        ("cells", "from cellbench.errors import OptionError", set()),
        ("cells", "from cellbench import __version__", set()),
        ("cells", "import torch.nn", set()),
        ("__main__", "from cellbench.cli import main", set()),
        ("pytest_plugin", "from cellbench.cli import main", {"cli"}),
        ("sweep", "from cellbench.cli import main", {"cli"}),
    ],
)
def test_an_import_that_points_up_or_sideways_is_seen(room, source, found) -> None:
    assert offences(room, source) == found


@pytest.mark.parametrize(
    ("source", "forbidden"),
    [
        ("print(1)", PRINTING),
        ("import click\nclick.echo('a')", PRINTING),
        ("from rich.table import Table", PRINTING),
        ("import sys\nsys.stderr.write('a')", PRINTING),
        ("import sys\nsys.exit(1)", LEAVING),
        ("from sys import exit\nexit(1)", LEAVING),
        ("raise SystemExit", LEAVING),
        ("raise SystemExit(1)", LEAVING),
    ],
)
def test_printing_and_leaving_are_seen(source, forbidden) -> None:
    assert names_used(source) & forbidden


def test_the_wheel_has_every_folder() -> None:
    """Packages are listed by hand in pyproject.toml; one that is not would be left out."""
    tools = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = {name for name in tools["packages"] if name not in tools["package-dir"]}
    folders = {".".join(("cellbench", *path.parent.relative_to(ROOT).parts)) for path in FILES}

    assert listed == folders
