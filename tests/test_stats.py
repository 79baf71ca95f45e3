"""What a few seeds say."""

from __future__ import annotations

import pytest

from cellbench.stats import median_to_solve, middle_and_range


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([300, 100, 200], 200),
        ([100, 200, None], 200),  # a seed that did not solve took longer than any that did
        ([100, None, None], None),  # not 100, which is the luck of one
        ([100, None], None),
        ([100, 300, None, 200], 250),
        ([], None),
    ],
)
def test_seeds_that_did_not_solve_count_as_slow(values, median) -> None:
    assert median_to_solve(values) == median


def test_the_middle_is_the_median_and_the_range_is_whole() -> None:
    assert middle_and_range([0.0, 1.0, 0.9]) == (0.9, 0.0, 1.0)
    assert middle_and_range([]) is None
