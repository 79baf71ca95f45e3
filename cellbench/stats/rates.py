"""How often something happens: k of n."""

from __future__ import annotations

from typing import Literal

from cellbench.stats.intervals import Interval


def rate_interval(
    k: int, n: int, *, level: float = 0.95, method: Literal["exact", "wilson"] = "exact"
) -> Interval:
    """Return the interval of a rate of which k of n were seen.

    "exact" holds the truth in at least `level` whatever it is; "wilson" in about `level` on
    average, and is narrower.

    Source: Clopper & Pearson 1934; Wilson 1927; both as in scipy.

    Raises:
        ValueError: n is 0, or k is not within 0 to n.
    """
    from scipy.stats import binomtest  # noqa: PLC0415 -- scipy takes a second to import

    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"no rate of {k} in {n}")
    ends = binomtest(k, n).proportion_ci(confidence_level=level, method=method)
    return Interval(k / n, float(ends.low), float(ends.high), level, n, method)
