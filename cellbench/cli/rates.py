"""Reading the learning rates of a grid."""

from __future__ import annotations

import math

from cellbench.errors import OptionError

FEWEST, MOST = 2, 100
"""Rates of a grid: one leaves nothing to choose, and of too many a typing error made them."""


def parse_rates(text: str) -> tuple[float, ...]:
    """Read learning rates, `1e-4,1e-3,1e-2`, or seven as `1e-4:1e-1:7`; return them rising.

    Those of the second form are evenly spaced on a logarithmic axis, both ends included. Between
    them they are rounded to three digits: the same on every machine, and short enough to be typed.

    Raises:
        OptionError: It is neither; a rate is not above 0 and finite, or is there twice; or there
            are too few or too many.
    """
    try:
        rates, many = _read(text)
    except (TypeError, ValueError):
        raise OptionError(
            "--lr-grid must be learning rates such as 1e-4,1e-3,1e-2, or low, high and how many, "
            f"such as 1e-4:1e-1:7; not {text!r}."
        ) from None
    for rate in rates:
        if not 0 < rate < math.inf:
            raise OptionError(f"--lr-grid {text}: a rate is above 0 and finite, not {rate:g}.")
    if not FEWEST <= many <= MOST:
        raise OptionError(
            f"--lr-grid {text} must have {FEWEST} to {MOST} rates, for one to be chosen; to train "
            "at one other rate, copy the task file and change its budget."
        )
    if ":" in text:
        rates = _spaced(rates[0], rates[1], many)
    if len(set(rates)) != len(rates):
        raise OptionError(f"--lr-grid {text} has a rate twice; name each once.")
    return tuple(sorted(rates))


def _read(text: str) -> tuple[list[float], int]:
    """Return the rates that are named, and how many there are to be."""
    if ":" in text:
        low, high, many = text.split(":")
        return [float(low), float(high)], int(many)
    rates = [float(part) for part in text.removesuffix(",").split(",")]
    return rates, len(rates)


def _spaced(low: float, high: float, many: int) -> list[float]:
    decades = math.log10(high / low)
    between = [low * 10 ** (decades * n / (many - 1)) for n in range(1, many - 1)]
    return [low, *(float(f"{rate:.3g}") for rate in between), high]
