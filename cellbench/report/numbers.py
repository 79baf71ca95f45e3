"""Numbers short enough for a table."""

from __future__ import annotations

from cellbench.catalog import PERFECT
from cellbench.report.rows import Row

NONE = "–"
KILO = 1000


def short(value: float | None) -> str:
    """Write a count or rate with three digits that count: 87, 1.25k, 13.1k, 4.9M."""
    if value is None:
        return NONE
    for unit in ("", "k", "M", "G"):
        if abs(value) < KILO * 0.9995 or unit == "G":
            break
        value /= KILO
    return _three_digits(value) + unit


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < KILO * 0.9995 else f"{value:.0f}"


def mebibytes(value: float | None) -> str:
    """Write bytes in MiB, with three digits that count."""
    return NONE if value is None else _three_digits(value / 2**20)


def skill(row: Row) -> str:
    """Write the median and, for several seeds, the range; or why there is none."""
    if row.skill is None or row.skill_low is None or row.skill_high is None:
        return ", ".join(row.failures) or NONE
    middle, low, high = map(two_digits, (row.skill, row.skill_low, row.skill_high))
    return middle if row.seeds == 1 else f"{middle} ({low}…{high})"


def two_digits(value: float) -> str:
    """Write a skill; what rounds to nothing has no sign."""
    text = f"{value:.2f}"
    return text.lstrip("-") if float(text) == 0 else text


def solved(row: Row) -> str:
    """Write how many of how many seeds."""
    return f"{row.solved}/{row.seeds}" if row.seeds else NONE


def steps(row: Row) -> str:
    """Write the median of steps to solve, or that it lies beyond the budget."""
    if not row.trained:
        return NONE
    if row.steps_to_solve is not None:
        return f"{row.steps_to_solve:.0f}"
    return f">{row.budget_steps}" if row.seeds > sum(row.failures.values()) else NONE


def reach(row: Row) -> str:
    """Write the longest length that was mastered; < or ≥ at the ends of what was tested."""
    if not row.ladder:
        return NONE
    if row.reach is None:
        return f"<{row.ladder[0].length}"
    return f"≥{row.reach}" if row.reach == row.ladder[-1].length else str(row.reach)


def off(ratio: float | None) -> str:
    """Write how far something is from a budget: +0.4%."""
    return NONE if ratio is None else f"{ratio - 1:+.1%}"


def mark(metric: str, value: float) -> str:
    """Write a level's mark as a condition."""
    unit = " bits" if metric == "excess" else ""
    return f"{metric} {'≥' if PERFECT[metric] else '<'} {value:g}{unit}"
