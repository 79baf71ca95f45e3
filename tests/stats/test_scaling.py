"""Power laws: found where they are, doubted where points are few."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from cellbench.stats.scaling import Exponent, fit_power_law

GRID = list(itertools.product((128, 512, 2048), (16, 64), (64, 128)))
SIZES = dict(zip(("time", "batch", "hidden"), zip(*GRID, strict=True), strict=True))


def test_exact_powers_are_found_exactly() -> None:
    law = fit_power_law([3e-6 * t * b**0.5 * h**2 for t, b, h in GRID], SIZES)

    assert [e.value for e in law.exponents.values()] == pytest.approx([1, 0.5, 2])
    assert [e.margin for e in law.exponents.values()] == pytest.approx([0, 0, 0], abs=1e-9)
    assert law.misfit == pytest.approx(0, abs=1e-9)
    assert (law.points, law.lacking) == (12, "")


def test_three_points_by_hand() -> None:
    """Seconds 1, 2, 8 at sizes 1, 2, 4: in base 2, 0, 1, 3 at 0, 1, 2, so a slope of 1.5.

    The residuals are 1/6, -1/3, 1/6, their squares add to 1/6; there is one degree of freedom,
    so the slope's standard error is sqrt(1/6 / 2), and the margin 12.706 times that.
    """
    law = fit_power_law([1, 2, 8], {"time": [1, 2, 4]})
    exponent = law.exponents["time"]

    assert exponent.value == pytest.approx(1.5)
    assert exponent.margin == pytest.approx(12.7062 * math.sqrt(1 / 12), rel=1e-5)
    assert law.misfit == pytest.approx(2 ** (1 / 3) - 1)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """At 4 points and 2 unknowns, a normal interval would hold it in 81 % only."""
    draw = np.random.default_rng(7)
    held = 0
    for _ in range(2000):
        seconds = [n * math.exp(draw.normal(0, 0.05)) for n in (1, 2, 4, 8)]
        (exponent,) = fit_power_law(seconds, {"time": [1, 2, 4, 8]}).exponents.values()
        held += abs(exponent.value - 1) <= exponent.margin

    assert 0.93 < held / 2000 < 0.97


def test_as_many_points_as_unknowns_give_no_interval_and_say_so() -> None:
    law = fit_power_law([1, 2], {"time": [10, 20], "batch": [4, 4]})

    assert law.exponents == {"time": Exponent(pytest.approx(1), None)}
    assert law.misfit is None
    assert "no point is left over" in law.lacking


def test_sizes_that_grow_together_are_not_told_apart() -> None:
    law = fit_power_law([1, 2, 4], {"time": [1, 2, 4], "batch": [10, 20, 40]})

    assert law.exponents == {}
    assert "do not tell time and batch apart" in law.lacking


@pytest.mark.parametrize("seconds", [[], [1.0], [1.0, 1.1]])
def test_one_value_of_a_size_has_no_slope(seconds) -> None:
    law = fit_power_law(seconds, {"time": [64] * len(seconds)})

    assert law.exponents == {}
    assert "give two" in law.lacking


def test_a_bend_widens_the_interval_and_shows_as_misfit() -> None:
    sizes = {"time": [1, 10, 100, 1000]}
    straight = fit_power_law([1, 10, 100, 1000], sizes)
    bent = fit_power_law([1 + t for t in sizes["time"]], sizes)

    assert bent.exponents["time"].margin > straight.exponents["time"].margin + 0.1
    assert bent.misfit > 0.1
