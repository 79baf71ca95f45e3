"""The interval of a median by order statistics."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import binom

from cellbench.stats.median import median_interval


def test_five_samples_give_their_range_at_the_level_it_has() -> None:
    found = median_interval([3.0, 1.0, 2.0, 5.0, 4.0])

    assert (found.low, found.high) == (1.0, 5.0)
    assert found.level == 1 - 2 / 2**5  # all five on one side, for either side


@pytest.mark.parametrize("count", [6, 8, 9, 20, 101])
def test_the_level_is_that_of_a_binomial_and_the_next_narrower_would_miss_it(count) -> None:
    found = median_interval(list(range(count)))
    k = found.low + 1

    assert found.high == count - k
    assert found.level == pytest.approx(1 - 2 * binom.cdf(k - 1, count, 0.5))
    assert found.level >= 0.95
    assert 1 - 2 * binom.cdf(k, count, 0.5) < 0.95


def test_it_covers_as_often_as_it_says_on_a_skewed_distribution() -> None:
    draw = random.Random(0)  # noqa: S311 -- no secret
    median, rounds = math.log(2), 4000
    found = [median_interval([draw.expovariate(1.0) for _ in range(7)]) for _ in range(rounds)]
    covered = sum(one.low <= median <= one.high for one in found) / rounds

    assert covered == pytest.approx(found[0].level, abs=0.01)


def test_one_sample_has_no_interval() -> None:
    assert median_interval([1.0]) is None
    assert median_interval([]) is None
