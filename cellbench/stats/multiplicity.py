"""Many comparisons: what is left of a p when it is one of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Return q values: of all that is called different at q <= 0.05, 5 % at most is not.

    Source: Benjamini & Hochberg 1995, as in scipy.

    Raises:
        ValueError: One is not within 0 to 1.
    """
    from scipy.stats import false_discovery_control  # noqa: PLC0415 -- a second to import

    _check(p)
    return [float(q) for q in false_discovery_control(p, method="bh")] if len(p) else []


def holm(p: Sequence[float]) -> list[float]:
    """Return adjusted p: that even one of all called different is not, has 5 % at most.

    The i-th smallest of m (i from 0) times m - i, and no less than those before it; at most 1.

    Source: Holm 1979. Scipy has none.

    Raises:
        ValueError: One is not within 0 to 1.
    """
    _check(p)
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, dtype=float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(p) else scaled
    return [float(value) for value in adjusted]


def _check(p: Sequence[float]) -> None:
    if bad := [value for value in p if not 0 <= value <= 1]:
        raise ValueError(f"no probability: {bad[0]}")
