"""Times, shares and exponents short enough for a table."""

from __future__ import annotations

from cellbench.stats.scaling import Exponent

NONE = "–"
KILO = 1000


def digits(value: float | None) -> str:
    """Write three digits that count: 0.0123, 4.56, 78.9, 1234."""
    if value is None:
        return NONE
    return f"{value:.0f}" if abs(value) >= KILO * 0.9995 else f"{value:.3g}"


def seconds(value: float) -> str:
    """Write a time with its unit: 12.3 µs, 4.56 ms, 78.9 s."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if value * factor < KILO * 0.9995:
            return f"{digits(value * factor)} {unit}"
    return f"{digits(value)} s"


def share(value: float | None) -> str:
    """Write a share as a percentage, with two digits that count: 0.43%, 12%, 140%."""
    if value is None:
        return NONE
    percent = value * 100
    return f"{percent:.0f}%" if percent >= 9.95 else f"{percent:.2g}%"  # noqa: PLR2004 -- 10, rounded


def exponent(value: Exponent | None) -> str:
    """Write an exponent with half its interval; "±?" where there are too few points for one."""
    if value is None:
        return NONE
    margin = "?" if value.margin is None else f"{value.margin:.2f}"
    return f"{value.value:.2f} ±{margin}"
