"""Trees out of git: real repositories, small ones."""

from __future__ import annotations

import subprocess

import pytest

from cellbench.errors import NothingMeasuredError
from cellbench.regress.trees import (
    Tree,
    checked_out,
    environment_changes,
    merge_base,
    working_tree,
)


def git(here, *arguments):
    names = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(here), *names, *arguments],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "cell.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def change(here, text, name="cell.py"):
    (here / name).write_text(text)
    git(here, "add", ".")
    git(here, "commit", "-q", "-m", text)
    return git(here, "rev-parse", "HEAD")


def test_base_is_where_the_branch_began_not_where_main_is_now(repository) -> None:
    began = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "-b", "topic")
    head = change(repository, "topic")
    git(repository, "checkout", "-q", "main")
    change(repository, "main went on", "other.py")

    assert merge_base(repository, "main", head) == began


def test_a_tree_is_checked_out_beside_and_cleared_away(repository) -> None:
    first = git(repository, "rev-parse", "HEAD")
    change(repository, "2")
    with checked_out(repository, first) as tree:
        assert (tree.folder / "cell.py").read_text() == "1"
        folder = tree.folder

    assert not folder.exists()
    assert git(repository, "worktree", "list").count("\n") == 0
    assert (repository / "cell.py").read_text() == "2"


def test_one_stands_in_the_same_folder_of_both_trees(repository) -> None:
    first = git(repository, "rev-parse", "HEAD")
    (repository / "sub").mkdir()
    second = change(repository, "x", "sub/cell.py")
    with checked_out(repository / "sub", second) as tree:
        assert (tree.place / "cell.py").read_text() == "x"
    with checked_out(repository / "sub", first) as tree:
        assert tree.place == tree.folder

    assert working_tree(repository / "sub").place == repository / "sub"


def test_changed_files_make_a_tree_dirty(repository) -> None:
    assert not working_tree(repository).is_dirty

    (repository / "cell.py").write_text("changed")

    assert working_tree(repository).is_dirty


def test_packages_from_other_folders_are_found(repository) -> None:
    (repository / "data").mkdir()
    (repository / "pkg").mkdir()
    (repository / "data" / "a.txt").write_text("a")
    (repository / "pkg" / "__init__.py").write_text("")
    commit = change(repository, '[tool.setuptools.package-dir]\n"pkg.d" = "data"', "pyproject.toml")
    with checked_out(repository, commit) as tree:
        assert (tree.folder / "pkg" / "d" / "a.txt").read_text() == "a"


def test_a_base_that_is_not_there_is_nothing_measured(repository, tmp_path_factory) -> None:
    with pytest.raises(NothingMeasuredError, match="git knows no nowhere"):
        merge_base(repository, "nowhere")
    with pytest.raises(NothingMeasuredError, match="no git repository"):
        working_tree(tmp_path_factory.mktemp("elsewhere"))


def test_other_versions_of_packages_are_told(tmp_path) -> None:
    sides = [Tree(tmp_path / name, name) for name in ("a", "b")]
    for side, text in zip(sides, ("torch==1", "torch==2"), strict=True):
        side.folder.mkdir()
        (side.folder / "constraints.txt").write_text(text)

    assert environment_changes(*sides) == ["constraints.txt"]
    assert environment_changes(sides[0], sides[0]) == []
