"""The two trees of a gate: the files before a change, and after it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cellbench.errors import NothingMeasuredError, OptionError

LOCKS = ("constraints.txt", "requirements.txt", "uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
"""Files that say which versions of other packages are used."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of one side.

    Attributes:
        folder: Their root.
        commit: What they are; with "+" behind it where files have been changed since.
        inside: Where in it the user stands; a cell `FILE.py:CLASS` is looked for from there.
    """

    folder: Path
    commit: str
    inside: Path = Path()

    @property
    def place(self) -> Path:
        """The folder to work in; the root if there was no such folder yet."""
        found = self.folder / self.inside
        return found if found.is_dir() else self.folder

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders to import from, first of all."""
        source = self.folder / "src"
        return (source, self.folder) if source.is_dir() else (self.folder,)

    @property
    def is_dirty(self) -> bool:
        """Whether it is no commit."""
        return self.commit.endswith("+")


def working_tree(here: Path) -> Tree:
    """Return the tree that `here` lies in, as it is.

    Raises:
        NothingMeasuredError: There is no git repository, or no commit in it.
    """
    root = Path(_git(here, "rev-parse", "--show-toplevel"))
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    commit = _git(root, "rev-parse", "HEAD") + "+" * bool(changed)
    return Tree(root, commit, _inside(here))


def _inside(here: Path) -> Path:
    return Path(_git(here, "rev-parse", "--show-prefix"))


def merge_base(here: Path, base: str, head: str = "HEAD") -> str:
    """Return the commit at which `head` left `base`.

    Raises:
        NothingMeasuredError: There is none: a revision is unknown, or the clone is too shallow.
    """
    for revision in (base, head):
        if revision.startswith("-"):
            raise OptionError(f"{revision!r} is no revision.")
        _git(here, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", about=revision)
    return _git(here, "merge-base", base, head, about=f"{base} and {head}")


@contextlib.contextmanager
def checked_out(here: Path, commit: str) -> Iterator[Tree]:
    """Check `commit` out beside the repository, for as long as this lasts."""
    folder = Path(tempfile.mkdtemp(prefix="cellbench-"))
    tree = folder / "tree"
    try:
        _git(here, "worktree", "add", "--detach", "--quiet", str(tree), commit)
        _link_packages(tree)
        yield Tree(tree, commit, _inside(here))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(NothingMeasuredError):
            _git(here, "worktree", "prune")


def environment_changes(base: Tree, head: Tree) -> list[str]:
    """Return the files that choose other packages' versions and differ between two trees."""

    def text(tree: Tree, name: str) -> bytes | None:
        path = tree.folder / name
        return path.read_bytes() if path.is_file() else None

    return [name for name in LOCKS if text(base, name) != text(head, name)]


def _link_packages(tree: Path) -> None:
    """Put packages where an import finds them that a build would take from another folder."""
    project = tree / "pyproject.toml"
    if not project.is_file():
        return
    with contextlib.suppress(tomllib.TOMLDecodeError, AttributeError):
        tools = tomllib.loads(project.read_text(encoding="utf-8")).get("tool", {})
        folders = tools.get("setuptools", {}).get("package-dir", {})
        for package, folder in folders.items():
            place = tree.joinpath(*package.split("."))
            if package and not place.exists() and place.parent.is_dir():
                place.symlink_to(tree / folder, target_is_directory=True)


def _git(here: Path, *arguments: str, about: str = "") -> str:
    """Return what git prints.

    Raises:
        NothingMeasuredError: It fails, or is not there.
    """
    command = ["git", "-C", str(here), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise NothingMeasuredError(
            f"There is no base to compare with: git cannot be run ({error.strerror})."
        ) from None
    if done.returncode == 0:
        return done.stdout.strip()
    said = (done.stderr.strip().splitlines() or [""])[-1].removeprefix("fatal: ")
    if "not a git repository" in said:
        raise NothingMeasuredError(
            f"There is no base to compare with: {here} is in no git repository. "
            "Compare with a stored one, --baseline FILE.jsonl."
        )
    raise NothingMeasuredError(
        f"There is no base to compare with: git knows no {about or arguments[0]}"
        f"{f' ({said})' if said else ''}. In a shallow clone, fetch more history first."
    )
