"""Checks of a cell's options and a generator's settings.

Each error names the option, the value, and what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

from cellbench.errors import OptionError, did_you_mean


def whole(name: str, value: object, *, low: int) -> None:
    """Raise OptionError unless `value` is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise OptionError(f"{name} must be a whole number of at least {low}, not {value!r}.")


def whole_up_to(name: str, value: object, *, low: int, high: int, of: str) -> None:
    """Raise OptionError unless `value` is a whole number from `low` to `high`, which is `of`."""
    whole(name, value, low=low)
    if isinstance(value, int) and value > high:
        raise OptionError(f"{name} must be a whole number from {low} to {of}={high}, not {value}.")


def whole_between(name: str, value: object, *, low: int, high: int) -> None:
    """Raise OptionError unless `value` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionError(f"{name} must be a whole number from {low} to {high}, not {value!r}.")


def real(name: str, value: object, *, low: float, below: float = float("inf")) -> None:
    """Raise OptionError unless `low <= value < below`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < below:
        bounds = f"of at least {low:g}" + (f" and below {below:g}" if below < float("inf") else "")
        raise OptionError(f"{name} must be a number {bounds}, not {value!r}.")


def flag(name: str, value: object) -> None:
    """Raise OptionError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise OptionError(f"{name} must be True or False, not {value!r}.")


def choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise OptionError unless `value` is one of `allowed`."""
    if value not in allowed:
        listed = ", ".join(allowed)
        raise OptionError(
            f"{name} must be one of {listed}, not {value!r}{did_you_mean(str(value), allowed)}"
        )


def divides(name: str, value: object, of: str, size: int) -> None:
    """Raise OptionError unless `value` is a whole number that divides `size`, the value of `of`."""
    whole(name, value, low=1)
    if size % int(value):  # type: ignore[call-overload]  # a whole number, as just checked
        raise OptionError(f"{name} must divide {of}: {size} is no multiple of {value!r}.")


def between(name: str, value: object, *, low: float, high: float) -> None:
    """Raise OptionError unless `low <= value <= high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise OptionError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}.")
