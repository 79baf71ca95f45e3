"""Student's t: published tables, closed forms, and the symmetries that bind them."""

from __future__ import annotations

import math
import statistics

import pytest

from cellbench.stats.student import t_quantile

# Printed in every table of the distribution: freedom, then the quantiles at 0.95, 0.975, 0.995.
PUBLISHED = [
    (1, 6.314, 12.706, 63.657),
    (2, 2.920, 4.303, 9.925),
    (3, 2.353, 3.182, 5.841),
    (4, 2.132, 2.776, 4.604),
    (5, 2.015, 2.571, 4.032),
    (7, 1.895, 2.365, 3.499),
    (10, 1.812, 2.228, 3.169),
    (15, 1.753, 2.131, 2.947),
    (20, 1.725, 2.086, 2.845),
    (30, 1.697, 2.042, 2.750),
    (60, 1.671, 2.000, 2.660),
    (120, 1.658, 1.980, 2.617),
]


@pytest.mark.parametrize(("freedom", "one", "two", "three"), PUBLISHED)
def test_quantiles_are_those_of_the_published_tables(freedom, one, two, three) -> None:
    found = [t_quantile(p, freedom) for p in (0.95, 0.975, 0.995)]

    assert found == pytest.approx([one, two, three], abs=5.1e-4)


@pytest.mark.parametrize("p", [0.001, 0.2, 0.5, 0.6, 0.975, 0.9999])
def test_quantiles_are_those_of_the_closed_forms(p) -> None:
    one = math.tan(math.pi * (p - 1 / 2))
    two = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))

    assert t_quantile(p, 1) == pytest.approx(one, rel=1e-9, abs=1e-12)
    assert t_quantile(p, 2) == pytest.approx(two, rel=1e-9, abs=1e-12)


def test_with_much_freedom_it_is_the_normal_distribution() -> None:
    normal = statistics.NormalDist().inv_cdf(0.975)

    assert t_quantile(0.975, 10**7) == pytest.approx(normal, rel=1e-6)


@pytest.mark.parametrize(("p", "freedom"), [(0, 3), (1, 3), (-0.1, 3), (0.5, 0), (math.nan, 3)])
def test_what_has_no_quantile_is_refused(p, freedom) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        t_quantile(p, freedom)
