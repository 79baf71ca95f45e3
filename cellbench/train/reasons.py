"""Why something was not done, in one line."""

from __future__ import annotations

LENGTH = 200


def first_line(error: BaseException) -> str:
    """Return the type of `error` and the first line of what it says."""
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}"[:LENGTH]
