"""Change points: each part against another route, and what is found by chance."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from cellbench.stats.change_points import Rules, change_points
from cellbench.stats.e_divisive import divergences, divergent_split
from cellbench.stats.shift import shift
from cellbench.stats.step_test import (
    autoregression,
    correlation,
    step_p_value,
    step_sizes,
)

MEASURED = Path(__file__).parents[2] / "results" / "benchmarks" / "change-points.json"


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def stepped(seed: int, *parts: tuple[int, float], deviation: float = 0.02) -> np.ndarray:
    """Return values around 1, times a factor in each part of so many values."""
    factors = np.concatenate([np.full(length, factor) for length, factor in parts])
    return factors * np.exp(deviation * noise(seed, len(factors)))


def test_divergence_by_hand() -> None:
    """Between 0, 0 and 1, 1 the mean distance is 1, within either it is 0: E = 2, Q = 4/4 E."""
    assert divergences(np.array([[0.0, 0.0, 1.0, 1.0]]), 2).tolist() == [[2.0]]


def test_divergences_are_those_of_the_paper_written_out() -> None:
    values = noise(0, 9)

    def mean_distance(pairs) -> float:
        return float(np.mean([abs(a - b) for a, b in pairs]))

    def q(t: int) -> float:
        a, b = values[:t], values[t:]
        between = mean_distance([(x, y) for x in a for y in b])
        inside = [mean_distance([(p[i], p[k]) for k in range(len(p)) for i in range(k)])
                  for p in (a, b)]  # fmt: skip
        return len(a) * len(b) / 9 * (2 * between - sum(inside))

    np.testing.assert_allclose(divergences(values[None], 2)[0], [q(t) for t in range(2, 8)])


def test_rows_are_series_of_their_own() -> None:
    rows = noise(1, 3, 8)
    one_by_one = [divergences(row[None], 2)[0] for row in rows]

    np.testing.assert_allclose(divergences(rows, 2), one_by_one)


@pytest.mark.parametrize("values", [np.ones(30), np.arange(3.0)])
def test_nothing_that_varies_or_too_little_is_not_split(values) -> None:
    assert divergent_split(values, 2, np.random.default_rng(0)) is None


def test_a_change_of_spread_alone_splits_but_is_no_change() -> None:
    values = np.concatenate([0.02 * noise(2, 60), 0.2 * noise(3, 60)])

    assert divergent_split(values, 2, np.random.default_rng(0)) == pytest.approx(60, abs=5)
    assert change_points(np.exp(values)) == []


def test_a_split_is_the_same_with_another_seed() -> None:
    values = np.log(stepped(4, (20, 1), (20, 1.1)))

    assert {divergent_split(values, 2, np.random.default_rng(n)) for n in range(5)} == {20}


def test_independent_noise_of_any_distribution_is_hardly_ever_split() -> None:
    random = np.random.default_rng(40)
    heavy = random.standard_t(2, (400, 25))
    found = [divergent_split(one, 2, np.random.default_rng(0)) for one in heavy]

    assert sum(split is not None for split in found) <= 1


def test_a_split_that_is_no_step_is_dropped_beside_one_that_is() -> None:
    """The spread grows at 120: E-divisive splits there too, whatever size is asked."""
    logs = np.concatenate([0.005 * noise(41, 60), 0.3 + 0.005 * noise(42, 60)])
    logs = np.concatenate([logs, 0.3 + 0.1 * noise(43, 60)])
    after = divergent_split(logs[60:], 2, np.random.default_rng(0))
    found = change_points(np.exp(logs), Rules(magnitude=0.0))

    assert after == pytest.approx(60, abs=5)
    assert [one.at for one in found] == [60]


def test_step_sizes_are_students_t() -> None:
    values = noise(5, 12)
    wanted = [abs(scipy.stats.ttest_ind(values[:t], values[t:]).statistic) for t in range(2, 11)]

    np.testing.assert_allclose(step_sizes(values[None], 2)[0], wanted)


def test_autoregression_by_hand() -> None:
    assert autoregression(np.array([1.0, 0.0, 2.0]), 0.5).tolist() == [1.0, 0.5, 2.25]


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8])
def test_correlation_beside_the_best_step_is_not_biased(rho) -> None:
    series = autoregression(noise(6, 400, 200), rho)[:, 150:]
    found = [correlation(one, 2 + int(step_sizes(one[None], 2).argmax())) for one in series]

    assert np.mean(found) == pytest.approx(rho, abs=0.06)


def test_correlation_is_of_pairs_within_the_parts() -> None:
    values, split = noise(44, 24), 10
    parts = [part - part.mean() for part in (values[:split], values[split:])]
    pairs = sum(a * b for part in parts for a, b in itertools.pairwise(part))
    plain = pairs / sum(a * a for part in parts for a in part)

    assert plain > 0, "or it would be taken for 0"
    assert correlation(values, split) == pytest.approx((plain + 3.3 / 24) / (1 - 9 / 24))


def test_a_step_is_no_correlation() -> None:
    values = np.log(stepped(7, (30, 1), (30, 1.5)))

    assert correlation(values, 30) < 0.3
    assert correlation(values, 10) > 0.7


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_noise_with_memory_has_as_many_steps_as_the_level_says_at_most(rho) -> None:
    series = autoregression(noise(8, 400, 150), rho)[:, 100:]
    share = np.mean([step_p_value(one, 2) <= 0.05 for one in series])

    assert share <= 0.05


def test_a_step_without_noise_is_certain() -> None:
    assert step_p_value(np.repeat([0.0, 1.0], 15), 2) == 1 / 4000


def test_shift_by_hand() -> None:
    """Differences of 4, 6 and 1, 2: 2, 3, 4, 5; too few for bounds."""
    assert shift(np.array([1.0, 2.0]), np.array([4.0, 6.0]), level=0.95) == (3.5, None, None)


def test_shift_ends_where_the_rank_test_does() -> None:
    first, second = noise(9, 20), noise(10, 25) + 1
    _, low, high = shift(first, second, level=0.95)

    def p(by: float) -> float:
        return scipy.stats.mannwhitneyu(
            second - by, first, method="asymptotic", use_continuity=False
        ).pvalue

    for bound, inwards in ((low, 1), (high, -1)):
        assert p(bound - inwards * 0.2) < 0.05 < p(bound + inwards * 0.2)


def test_shift_covers_the_truth_and_is_wider_for_noise_with_memory() -> None:
    pairs = [(noise(20 + n, 12), noise(900 + n, 15) + 0.7) for n in range(400)]
    found = [shift(*pair, level=0.95) for pair in pairs]
    covered = np.mean([low <= 0.7 <= high for _, low, high in found])

    assert 0.93 <= covered <= 0.98
    _, low, high = shift(*pairs[0], widen=2.0, level=0.95)
    assert low < found[0][1]
    assert high > found[0][2]


def test_a_step_is_found_with_its_size() -> None:
    (found,) = change_points(stepped(11, (30, 1), (20, 1.1)))

    assert found.at == 30
    assert found.low < 0.1 < found.high
    assert found.change == pytest.approx(0.1, abs=0.02)


def test_a_step_down_is_negative() -> None:
    (found,) = change_points(stepped(11, (30, 1), (20, 0.8)))

    assert found.change == pytest.approx(-0.2, abs=0.02)


def test_a_step_and_its_repair_are_both_found() -> None:
    found = change_points(stepped(12, (50, 1), (30, 1.1), (20, 1)))

    assert [one.at for one in found] == pytest.approx([50, 80], abs=1)
    assert [one.change > 0 for one in found] == [True, False]


def test_without_noise_a_step_is_exact() -> None:
    (found,) = change_points([1.0] * 15 + [1.25] * 15)

    assert (found.at, found.change) == (15, pytest.approx(0.25))


def test_one_value_that_sticks_out_is_no_change() -> None:
    values = stepped(13, (40, 1))
    values[[20, 39]] *= 2

    assert change_points(values) == []


def test_a_change_below_the_least_is_none() -> None:
    values = stepped(14, (40, 1), (40, 1.02), deviation=0.002)

    assert change_points(values) == []
    assert len(change_points(values, Rules(magnitude=0.01))) == 1


def test_drift_is_no_step() -> None:
    walk = np.exp(0.02 * autoregression(noise(15, 60), 0.9))

    assert change_points(walk) == []


def test_too_few_values_are_another_answer_than_no_change() -> None:
    assert change_points([1.0] * 19) is None
    assert change_points([1.0] * 20) == []
    assert change_points([1.0] * 19, Rules(window=19)) == []


def test_units_change_nothing_and_the_answer_is_always_the_same() -> None:
    values = stepped(16, (25, 1), (25, 1.2))
    (once,), (again,), (in_ms,) = map(change_points, (values, values, values * 1000))

    assert once == again
    assert in_ms.at == once.at
    assert in_ms.change == pytest.approx(once.change)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_has_no_logarithm_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="above 0"):
        change_points([1.0] * 30 + [bad])


@pytest.mark.parametrize("rules", [{"persistence": 1}, {"window": 3}, {"magnitude": -0.1}], ids=str)
def test_rules_that_cannot_hold_are_refused(rules) -> None:
    with pytest.raises(ValueError, match="persistence"):
        Rules(**rules)


def test_noise_gives_no_change() -> None:
    independent = np.exp(0.2 * noise(17, 300, 40))
    remembering = np.exp(0.2 * autoregression(noise(18, 200, 140), 0.5)[:, 100:])

    assert sum(bool(change_points(one)) for one in independent) == 0
    assert sum(bool(change_points(one)) for one in remembering) <= 2


def test_what_was_simulated_keeps_the_promise() -> None:
    """One in a thousand of independent noise; the page says what it is for noise with memory."""
    rows = json.loads(MEASURED.read_text())["false_alarms"]
    independent = [row for row in rows if "AR" not in row["noise"]]

    assert {row["length"] for row in independent} == {20, 50, 100}
    assert all(row["upper_95"] <= 0.001 for row in independent)
    assert all(row["rate"] <= 0.01 for row in rows if row["noise"] == "AR(1) 0.5")
