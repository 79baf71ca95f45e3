"""Verdicts on times, from launches that are made up."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from cellbench.regress.calibration import calibrate, regressions
from cellbench.regress.judge import judge_times, log_ratio, ratio_of
from cellbench.verdicts import Block, Launch, Stage, Verdict

KEY = ("cell", "train_step")


def block(*ratios, cell="cell", dropped=()):
    """One launch, a round a ratio; the machine gets slower with each round."""
    base = tuple(0.01 * (n + 1) for n in range(len(ratios)))
    head = tuple(b * r for b, r in zip(base, ratios, strict=True))
    return Block(cell=cell, metric="train_step", calls=1, base_s=base, head_s=head, dropped=dropped)


def launch(number, *blocks):
    return Launch(run_id="r", number=number, stage=Stage.FIRST, base="b", head="h", blocks=blocks)


def launches(*ratios):
    return [launch(n, block(r, r, r)) for n, r in enumerate(ratios)]


def verdict(*ratios, margin=0.03):
    return judge_times([KEY], launches(*ratios), lambda *_: margin)[KEY]


def test_a_slowdown_within_the_noise_is_no_regression() -> None:
    found = verdict(0.9, 1.4, 1.0, 1.3, 0.8)

    assert found.ratio > 1.03
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "--launches" in found.detail


@pytest.mark.parametrize(
    ("middle", "expected"),
    [(1.10, "regressed"), (0.90, "improved"), (1.0, "equivalent"), (1.03, "inconclusive")],
)
def test_the_whole_interval_decides(middle, expected) -> None:
    found = verdict(*(middle * wobble for wobble in (0.99, 1.0, 1.01, 1.0, 0.995, 1.005)))

    assert found.verdict.value == expected


def test_a_wider_margin_forgives() -> None:
    ratios = (1.09, 1.1, 1.11, 1.1, 1.1)

    assert verdict(*ratios).verdict is Verdict.REGRESSED
    assert verdict(*ratios, margin=0.2).verdict is Verdict.EQUIVALENT


def test_bounds_and_p_are_those_of_students_t() -> None:
    ratios = [1.1, 1.2, 1.05, 1.15, 1.3]
    logs = [math.log(r) for r in ratios]
    found = verdict(*ratios)
    low = stats.ttest_1samp(logs, 0, alternative="greater").confidence_interval(0.95).low
    p = stats.ttest_1samp(logs, math.log(1.03), alternative="greater").pvalue

    assert found.low == pytest.approx(math.exp(low))
    assert found.p == pytest.approx(p)


def test_the_launch_is_the_unit_of_replication() -> None:
    few = [launch(n, block(*[r] * 100)) for n, r in enumerate((1.0, 1.2, 1.1, 1.3))]
    found = judge_times([KEY], few, lambda *_: 0.03)[KEY]

    assert found.verdict is Verdict.INCONCLUSIVE
    assert "only 4 of at least 5" in found.detail


def test_what_was_planned_and_not_measured_is_no_pass() -> None:
    found = judge_times([KEY, ("gone", "inference")], launches(*[1.0] * 6), lambda *_: 0.03)

    assert found["gone", "inference"].verdict is Verdict.INCONCLUSIVE


def test_one_in_many_needs_more_than_one_alone() -> None:
    ratios = (1.02, 1.09, 1.05, 1.11, 1.04, 1.08)  # p about 0.02
    others = [f"other{n}" for n in range(11)]
    rows = [
        launch(n, block(r), *(block(1.0 + 0.001 * n, cell=o) for o in others))
        for n, r in enumerate(ratios)
    ]
    keys = [KEY, *((o, "train_step") for o in others)]

    assert judge_times([KEY], rows, lambda *_: 0.03)[KEY].verdict is Verdict.REGRESSED
    assert judge_times(keys, rows, lambda *_: 0.03)[KEY].verdict is Verdict.INCONCLUSIVE


def test_disturbed_rounds_are_left_out_unless_most_are() -> None:
    assert log_ratio(block(1.0, 1.0, 1.0, 9.0, 9.0, dropped=(3, 4))) == 0
    assert log_ratio(block(1.0, 9.0, 9.0, 9.0, dropped=(1, 2, 3))) == pytest.approx(math.log(9))
    assert ratio_of([0.1, 0.3]).mean == pytest.approx(0.2)


def noisy(order, count, spread):
    cells = [f"c{n}" for n in range(6)]
    return [{(c, "t"): order.gauss(0, spread) for c in cells} for _ in range(count)]


def test_whole_gates_of_equal_code_hardly_ever_alarm() -> None:
    order = random.Random(0)  # noqa: S311 -- made-up noise
    margins = {(f"c{n}", "t"): 0.03 for n in range(6)}
    alarms = [
        regressions(noisy(order, 8, 0.03), noisy(order, 8, 0.03), margins) for _ in range(150)
    ]

    assert not any(alarms)


def test_calibration_finds_the_noise_that_was_put_in() -> None:
    order = random.Random(0)  # noqa: S311 -- made-up noise
    rows = []
    for n in range(40):
        blocks = [
            block(*[math.exp(order.gauss(0, spread))] * 3, cell=cell)
            for cell, spread in (("calm", 0.01), ("wild", 0.2))
        ]
        rows.append(launch(n, *blocks))
    found = calibrate(
        rows, {"device": "toy"}, per_gate=8, margin=0.03, control="", made_at="", gates=100
    )

    # 2.58 standard errors of a mean of eight
    assert found.floors["calm train_step"] == pytest.approx(2.58 * 0.01 / 8**0.5, rel=0.5)
    assert found.floors["wild train_step"] == pytest.approx(2.58 * 0.2 / 8**0.5, rel=0.5)
    assert found.false_alarms <= 0.01
    assert found.detectable["calm train_step"] <= 0.06
    assert found.detectable["wild train_step"] > 0.3
