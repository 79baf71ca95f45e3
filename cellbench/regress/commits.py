"""What git knows of commits."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cellbench.errors import OptionError
from cellbench.sweep.git import ask_git


@dataclass(frozen=True)
class Commit:
    """One commit.

    Attributes:
        id: Its full name.
        committed_at: When, in UTC.
    """

    id: str
    committed_at: str


def find_commit(revision: str) -> Commit | None:
    """Return a commit of the repository around; None if there is none, or no repository."""
    shown = ask_git("show", "-s", "--format=%H %ct", "--end-of-options", f"{revision}^{{commit}}")
    if shown is None:
        return None
    name, seconds = shown.split()
    when = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return Commit(name, when.isoformat(timespec="seconds"))


def current_branch() -> str:
    """Return the branch that is checked out; "" where none is, as in most CI."""
    return ask_git("symbolic-ref", "--quiet", "--short", "HEAD") or ""


def commits_between(good: str, bad: str) -> list[str]:
    """Return the commits from `good` to `bad`, both with them, oldest first.

    Of a merge, only the first parent's line is followed: it is what the branch itself was.

    Raises:
        OptionError: One of them is no commit, or `bad` does not come after `good`.
    """
    ends = [find_commit(revision) for revision in (good, bad)]
    for revision, found in zip((good, bad), ends, strict=True):
        if found is None:
            raise OptionError(f"{revision!r} is no commit of a git repository here.")
    first, last = (found.id for found in ends if found)
    line = (ask_git("rev-list", "--first-parent", "--reverse", f"{first}..{last}") or "").split()
    if not line or ask_git("merge-base", "--is-ancestor", first, last) is None:
        raise OptionError(
            f"--bad {bad} must come after --good {good}; `git log {good}..{bad}` shows what does."
        )
    return [first, *line]
