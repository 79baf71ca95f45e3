"""What git says, in a repository made for it."""

from __future__ import annotations

import subprocess

import pytest

from cellbench.errors import OptionError
from cellbench.regress.commits import commits_between, current_branch, find_commit

DATE = "2026-01-01T12:00:00+02:00"


@pytest.fixture
def git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "A")
        monkeypatch.setenv(f"{name}_EMAIL", "a@b.c")
        monkeypatch.setenv(f"{name}_DATE", DATE)

    def run(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    run("init", "--quiet", "--initial-branch", "main")
    return run


def commit(git, message: str) -> str:
    git("commit", "--quiet", "--allow-empty", "--message", message)
    return git("rev-parse", "HEAD")


def test_a_commit_is_found_by_any_name_with_its_time_in_utc(git) -> None:
    made = commit(git, "one")

    for name in ("HEAD", "main", made[:8], made):
        found = find_commit(name)
        assert (found.id, found.committed_at) == (made, "2026-01-01T10:00:00+00:00")
    assert current_branch() == "main"


@pytest.mark.parametrize("name", ["nothing", "", "--output=stolen", "HEAD:file"])
def test_what_is_no_commit_is_none(git, tmp_path, name) -> None:
    commit(git, "one")

    assert find_commit(name) is None
    assert not (tmp_path / "stolen").exists()


def test_outside_a_repository_there_is_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert find_commit("HEAD") is None
    assert current_branch() == ""


def test_without_git_there_is_nothing(git, monkeypatch) -> None:
    commit(git, "one")
    monkeypatch.setenv("PATH", "")

    assert find_commit("HEAD") is None


def test_on_no_branch_there_is_no_name(git) -> None:
    git("checkout", "--quiet", "--detach", commit(git, "one"))

    assert current_branch() == ""


def test_of_a_merge_the_first_parents_line_is_taken(git) -> None:
    first, second = commit(git, "1"), commit(git, "2")
    git("checkout", "--quiet", "-b", "topic")
    commit(git, "on topic")
    git("checkout", "--quiet", "main")
    third = commit(git, "3")
    git("merge", "--quiet", "--no-ff", "--message", "merge", "topic")
    merge = git("rev-parse", "HEAD")

    assert commits_between(first, "HEAD") == [first, second, third, merge]


def test_ends_must_be_commits_one_after_the_other(git) -> None:
    first, second = commit(git, "1"), commit(git, "2")

    for good, bad in ((second, first), (first, first)):
        with pytest.raises(OptionError, match="must come after"):
            commits_between(good, bad)
    with pytest.raises(OptionError, match="'nowhere' is no commit"):
        commits_between(first, "nowhere")
