"""Both sides of a gate, their ratio and its bounds, short enough for a table.

Two numbers that differ never read the same: what is too near in three digits gets more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cellbench.report.numbers import short, two_digits
from cellbench.report.perf_numbers import NONE, digits, seconds
from cellbench.verdicts import Finding, Kind

KIBI = 1024
MINUTE_S, HOUR_S = 60, 3600
MOST_DIGITS = 6
"""Of a ratio; a smaller difference is written as one of 0.000001."""


def both(finding: Finding) -> tuple[str, str]:
    """Write base and head, with their units."""
    base, head = finding.base, finding.head
    write = {"s": seconds, "bytes": size}.get(finding.unit, _plain(finding))
    texts = [NONE if value is None else write(value) for value in (base, head)]
    same = texts[0] == texts[1] and finding.kind is Kind.EXACT
    if same and base is not None and head is not None and base != head:
        texts = [_exactly(base, finding.unit), _exactly(head, finding.unit)]
    return texts[0], texts[1]


def size(value: float) -> str:
    """Write bytes with their unit: 12 B, 4.5 KiB, 17.5 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < KIBI:
            return f"{digits(value)} {unit}"
        value /= KIBI
    return f"{digits(value)} GiB"


def ratio(finding: Finding) -> str:
    """Write the ratio and, where there are bounds, these behind it: 1.21 [1.17, 1.26]."""
    if finding.kind is Kind.ACCURACY:
        return _difference(finding)
    if finding.ratio is None:
        return NONE
    places = _places(finding)
    text = f"{finding.ratio:.{places}f}"
    if finding.low is None or finding.high is None:
        return text
    return f"{text} [{finding.low:.{places}f}, {finding.high:.{places}f}]"


def percent(share: float) -> str:
    """Write a share with at most two digits that count: 3%, 4.5%, 12%, 0.25%."""
    number = share * 100
    return f"{number:.0f}%" if abs(number) >= 9.95 else f"{number:.2g}%"  # noqa: PLR2004 -- 10, rounded


def span(shares: list[float]) -> str:
    """Write one share, or the least and the largest: 3%; 3% to 5.1%, with a dash."""
    low, high = percent(min(shares)), percent(max(shares))
    return low if low == high else f"{low}–{high}"


def duration(elapsed_s: float) -> str:
    """Write how long something took: 8.3 s, 3 min 21 s, 1 h 5 min."""
    if elapsed_s < MINUTE_S:
        return f"{digits(elapsed_s)} s"
    whole = round(elapsed_s)
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


def _difference(finding: Finding) -> str:
    if finding.base is None or finding.head is None:
        return NONE
    return f"{finding.head - finding.base:+.2f}"


def _plain(finding: Finding) -> Callable[[float], str]:
    return two_digits if finding.kind is Kind.ACCURACY else short


def _exactly(value: float, unit: str) -> str:
    """Write all digits of a number that three do not tell from another."""
    text = f"{value:,.0f}" if value == round(value) else f"{value:.9g}"
    return f"{text} B" if unit == "bytes" else text


def _places(finding: Finding) -> int:
    """Return how many decimals leave no doubt on which side of its margin a bound lies."""
    assert finding.ratio is not None  # noqa: S101 -- for the type checker: asked before
    bounds = [bound for bound in (finding.low, finding.high) if bound is not None]
    margin = finding.margin or 0.0
    pairs = [(bound, limit) for bound in bounds for limit in (1 - margin, 1 + margin)]
    if not bounds:
        pairs = [(finding.ratio, 1.0)]
    for places in range(2, MOST_DIGITS):
        if all(_told_apart(bound, limit, places) for bound, limit in pairs):
            return places
    return MOST_DIGITS


def _told_apart(value: float, limit: float, places: int) -> bool:
    """Return whether `value` is on the same side of `limit` as what is written of it."""
    return _side(round(value, places), limit) == _side(value, limit)


def _side(value: float, limit: float) -> int:
    if math.isclose(value, limit, abs_tol=1e-9):
        return 0
    return 1 if value > limit else -1
