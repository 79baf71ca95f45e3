"""k of n: against the printed table, and at the edges."""

from __future__ import annotations

import pytest

from cellbench.stats.rates import rate_interval


@pytest.mark.parametrize(
    ("k", "n", "wilson", "exact"),
    [
        (3, 3, (0.44, 1), (0.29, 1)),
        (5, 5, (0.57, 1), (0.48, 1)),
        (10, 10, (0.72, 1), (0.69, 1)),
        (3, 5, (0.23, 0.88), (0.15, 0.95)),
        (0, 5, (0, 0.43), (0, 0.52)),
    ],
)
def test_printed_values(k, n, wilson, exact) -> None:
    for method, ends in (("wilson", wilson), ("exact", exact)):
        found = rate_interval(k, n, method=method)
        assert (found.low, found.high) == pytest.approx(ends, abs=5e-3)
        assert (found.estimate, found.n, found.method) == (k / n, n, method)


def test_exact_by_hand() -> None:
    """None of n: the rate at which that still has 2.5 %."""
    assert rate_interval(0, 4).high == pytest.approx(1 - 0.025**0.25)
    assert rate_interval(0, 4, level=0.8).high == pytest.approx(1 - 0.1**0.25)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_no_rate_is_refused(k, n) -> None:
    with pytest.raises(ValueError, match="no rate"):
        rate_interval(k, n)
