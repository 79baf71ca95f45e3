"""Seeds needed: by hand, against the test itself, and by drawing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cellbench.stats.power import power, seeds_needed, split_p_values
from cellbench.stats.two_samples import rank_sum


def test_p_values_are_those_of_the_rank_sum() -> None:
    found = split_p_values(5)

    for a in range(6):
        for b in range(6):
            ones = ([1] * a + [0] * (5 - a), [1] * b + [0] * (5 - b))
            assert found[a, b] == pytest.approx(rank_sum(*ones).p)


def test_by_hand() -> None:
    """Of 4 v 4 only 4:0 and 0:4 reach 0.05 (2/70): 0.9^4 0.8^4 + 0.1^4 0.2^4."""
    assert power(0.9, 0.2, 4) == pytest.approx(0.9**4 * 0.8**4 + 0.1**4 * 0.2**4)
    assert power(1, 0, 3) == 0, "at 3 v 3 no test can reject"
    assert power(1, 0, 4) == pytest.approx(1)


def test_it_is_how_often_the_test_rejects() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.binomial(12, 0.9, 40_000), draw.binomial(12, 0.4, 40_000)
    rejected = (split_p_values(12)[a, b] <= 0.05).mean()

    assert power(0.9, 0.4, 12) == pytest.approx(rejected, abs=0.01)


def test_without_a_difference_it_is_at_most_the_level() -> None:
    assert max(power(p, p, n) for p in (0.1, 0.5, 0.9) for n in (5, 10, 23)) <= 0.05


def test_seeds_needed() -> None:
    """Near the normal approximation, which has 20 for 0.9 against 0.5; never below five."""
    found = seeds_needed(0.9, 0.5)

    assert found is not None
    assert power(0.9, 0.5, found) >= 0.8 > power(0.9, 0.5, found - 1)
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert found == pytest.approx(z**2 * (0.9 * 0.1 + 0.5 * 0.5) / 0.4**2, abs=8)
    assert seeds_needed(1, 0) == 5
    assert seeds_needed(0.5, 0.45) is None


@pytest.mark.parametrize(
    ("a", "b", "n", "alpha"), [(1.1, 0, 5, 0.05), (0, -1, 5, 0.05), (1, 0, 0, 0.05), (1, 0, 5, 0)]
)
def test_no_odds_are_refused(a, b, n, alpha) -> None:
    with pytest.raises(ValueError, match="no power"):
        power(a, b, n, alpha=alpha)
