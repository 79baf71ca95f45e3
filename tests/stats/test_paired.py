"""Pairs of seeds: all patterns of signs, by hand and against scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cellbench.stats.paired import mcnemar, sign_flip, smallest_sign_p


@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_signs_that_all_agree_give_the_smallest_p(n, p) -> None:
    found = sign_flip([0.1 * i for i in range(1, n + 1)])

    assert (found.p, found.smallest, found.n) == (p, p, (n,))


def test_by_hand() -> None:
    """3, 2, -1 sum to 4; of 8 patterns 6 and 4 reach it: 2 of 8, and twice that on two sides."""
    assert sign_flip([3, 2, -1], alternative="greater").p == pytest.approx(2 / 8)
    assert sign_flip([3, 2, -1]).p == pytest.approx(4 / 8)
    assert sign_flip([3, 2, -1], alternative="less").p == pytest.approx(7 / 8)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_all_patterns_one_by_one(alternative) -> None:
    values = np.random.default_rng(5).normal(0.3, 1, 8).round(1)
    sums = np.array([values @ s for s in itertools.product((1, -1), repeat=8)])
    above = np.mean(sums >= values.sum() - 1e-9)
    below = np.mean(sums <= values.sum() + 1e-9)
    p = {"greater": above, "less": below, "two-sided": min(1, 2 * min(above, below))}[alternative]

    assert sign_flip(values.tolist(), alternative=alternative).p == pytest.approx(p)


def test_one_pair_has_one_sign() -> None:
    assert sign_flip([2], alternative="greater").p == 0.5
    assert sign_flip([2], alternative="less").p == 1


def test_no_difference_at_all() -> None:
    assert sign_flip([0, 0, 0, 0]).p == 1


def test_beyond_16_pairs_patterns_are_drawn_always_the_same() -> None:
    values = np.random.default_rng(2).normal(0.4, 1, 30).tolist()

    assert sign_flip(values) == sign_flip(values)
    assert sign_flip(values).p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.15)


def test_mcnemar_by_hand() -> None:
    """Of 8 pairs five tell, four of them for A: 6/32 on one side, 12/32 on two."""
    a = [True, True, True, True, False, True, True, False]
    b = [False, False, False, False, True, True, True, False]

    assert mcnemar(a, b).p == pytest.approx(12 / 32)
    assert mcnemar(a, b, alternative="greater").p == pytest.approx(6 / 32)
    assert mcnemar(a, b, alternative="less").p == pytest.approx(31 / 32)
    assert (mcnemar(a, b).smallest, mcnemar(a, b).n) == (2 / 2**8, (8,))


def test_mcnemar_is_the_sign_test_of_the_differences() -> None:
    draw = np.random.default_rng(9)
    a, b = draw.random(12) < 0.8, draw.random(12) < 0.4
    differences = (a.astype(float) - b).tolist()

    assert mcnemar(a.tolist(), b.tolist()).p == pytest.approx(sign_flip(differences).p)


def test_pairs_that_all_agree_tell_nothing() -> None:
    assert mcnemar([True, False], [True, False]).p == 1


def test_the_smallest_p_of_one_side() -> None:
    assert smallest_sign_p(4, "less") == 1 / 16
    assert smallest_sign_p(1) == 1
    assert smallest_sign_p(5000) == 0


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_no_pairs_are_refused(values) -> None:
    with pytest.raises(ValueError, match="no interval"):
        sign_flip(values)


@pytest.mark.parametrize(("a", "b"), [([], []), ([True], [True, False])])
def test_outcomes_that_are_no_pairs_are_refused(a, b) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        mcnemar(a, b)
