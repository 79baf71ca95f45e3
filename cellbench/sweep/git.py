"""Asking git about the repository around."""

from __future__ import annotations

import subprocess


def ask_git(*arguments: str) -> str | None:
    """Return what git says; None if it fails, or is not there."""
    try:
        done = subprocess.run(  # noqa: S603 -- a list, no shell; a revision cannot be an option
            ["git", *arguments],  # noqa: S607 -- the user's git
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
