"""Columns of a history, and the sentences under it: for terminals and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from cellbench.report.history_rows import Change, Series
from cellbench.report.perf_numbers import NONE, digits, seconds

SHORT = 7
"""Letters of a commit."""

ASCII_FOR = str.maketrans({"–": "-", "…": "..", "µ": "u", "±": "+-", "·": "?"})
"""What stands for our signs where a terminal has none but ASCII."""

LEGEND = (
    "ratio: to the reference in the same job; change: of the last commit, against the median "
    "before (ratio where there is one)"
)


def tables(found: Sequence[Series]) -> list[list[Series]]:
    """Return the series that may stand in one table: one machine, branch and setting."""
    ranked = sorted(found, key=lambda series: series.group)
    return [list(members) for _, members in groupby(ranked, key=lambda series: series.group)]


def title(group: Sequence[Series], others: Sequence[Series]) -> str:
    """Name the machine, the branch and the setting; all of the machine if two have one name."""
    first = group[0]
    alike = {one.machine for one in others if one.machine_name == first.machine_name}
    name = first.machine_name if len(alike) == 1 else first.machine
    parts = [name, f"branch {first.branch}" if first.branch else "", first.at]
    return "; ".join(part for part in parts if part)


def last(series: Series) -> str:
    """Write the newest value, with its unit."""
    value = series.entries[-1].value
    if value is None:
        return "failed"
    if series.unit == "s":
        return seconds(value)
    if series.unit == "bytes":
        return f"{digits(value / 2**20)} MiB" if value >= 2**20 else f"{digits(value / 2**10)} KiB"
    return f"{int(value):,}" if value == int(value) else digits(value)


def percent(change: float | None) -> str:
    """Write a change with its sign: +12.3%."""
    if change is None:
        return NONE
    text = f"{change:+.1%}"
    return text if text.strip("+-0.%") else "0.0%"


COLUMNS: dict[str, Callable[[Series], str]] = {
    "cell": lambda series: series.cell,
    "metric": lambda series: series.metric.replace("_", " "),
    "commits": lambda series: str(len(series.entries)),
    "last": last,
    "ratio": lambda series: digits(series.entries[-1].ratio),
    "change": lambda series: percent(series.last_change),
}
"""Heading -> text, but for the sparkline, which has what room is left."""


def sentences(group: Sequence[Series]) -> list[str]:
    """Say what was found in each series, worst first, and in which nothing could be."""
    changed = [(one, change) for one in group for change in one.changes or ()]
    changed.sort(key=lambda pair: (not pair[1].worse, bool(pair[1].acknowledged)))
    said = [f"{_name(one)}: {of_change(change)}" for one, change in changed]
    said += [
        f"{_name(one)}: failed at {one.entries[-1].commit[:SHORT]}: {one.entries[-1].error}"
        for one in group
        if one.entries[-1].value is None
    ]
    return [*said, *_insufficient(group), *_without(group), *_references(group)]


def of_change(change: Change) -> str:
    """Write a change, with its interval and the commits that it lies between."""
    size = "from 0" if change.change is None else percent(change.change)
    if change.low is not None and change.high is not None:
        size += f" [{percent(change.low)}, {percent(change.high)}]"
    text = f"{size} in {change.before[:SHORT]}..{change.after[:SHORT]}"
    text += ", for the worse" if change.worse else ", for the better"
    return f"{text}, acknowledged: {change.acknowledged}" if change.acknowledged else text


def _name(series: Series) -> str:
    return f"{series.cell} {series.metric}"


def _insufficient(group: Sequence[Series]) -> list[str]:
    counts: dict[tuple[int, int], list[str]] = {}
    for one in group:
        if one.changes is None:
            counts.setdefault((one.usable, one.needed), []).append(_name(one))
    return [
        f"insufficient data ({usable} of {needed}): {', '.join(names)}"
        for (usable, needed), names in sorted(counts.items())
    ]


def _without(group: Sequence[Series]) -> list[str]:
    names = [_name(one) for one in group if one.changes == ()]
    return [f"no change found: {', '.join(names)}"] if names else []


def _references(group: Sequence[Series]) -> list[str]:
    names = dict.fromkeys(one.cell for one in group if one.is_reference)
    return [f"{name} is the reference: its changes are the machine's" for name in names]
