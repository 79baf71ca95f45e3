"""The simulation of coverage: its truths, its verdicts, what is committed, and the page."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "interval_coverage.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="no benchmarks beside these tests")


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("interval_coverage", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def committed(simulation) -> list[dict]:
    return json.loads(simulation.FOUND.read_text())["entries"]


def test_every_interval_outcome_and_size_is_there(simulation, committed) -> None:
    wanted = {
        (way.name, way.shown, outcome.name, n)
        for way in simulation.WAYS
        for outcome in simulation.OUTCOMES
        for n in (3, 5, 10)
    }

    assert {(e["interval"], e["shown"], e["outcome"], e["n"]) for e in committed} == wanted
    assert len(committed) == len(wanted)
    assert min(e["repetitions"] for e in committed) >= 4000


def test_verdicts_follow_from_the_numbers(committed) -> None:
    for one in committed:
        points = round(100 * one["coverage"] - 95, 6)
        word = (
            "covers more" if points > 2 else "does not cover" if points < -2 else "within 2 points"
        )
        assert one["verdict"] == word, one


def test_whatever_a_report_shows_covers(committed) -> None:
    assert not [e for e in committed if e["shown"] and e["verdict"] == "does not cover"]


def test_what_is_not_shown_has_its_reason(committed) -> None:
    """It fails somewhere, or, as Wilson's and the plain bootstrap-t, at some n or outcome."""
    hidden = {e["interval"] for e in committed if not e["shown"]}
    failing = {e["interval"] for e in committed if e["verdict"] == "does not cover"}

    assert hidden - failing <= {"P(A > B), Newcombe 5"}, "that one fails where nothing differs"


@pytest.mark.parametrize("name", ["t", "bounded", "rate, exact", "percentile bootstrap"])
def test_a_small_part_done_again_agrees(simulation, committed, name) -> None:
    """With 120 repetitions, 5 standard errors; the percentile bootstrap at 3 is far from 95 %."""
    (way,) = (way for way in simulation.WAYS if way.name == name)
    found = list(simulation.simulate(120, (way,), (3,)))

    for one in found:
        (known,) = (
            e
            for e in committed
            if (e["interval"], e["outcome"], e["n"]) == (name, one["outcome"], 3)
        )
        error = max(known["error"] * (known["repetitions"] / 120) ** 0.5, 0.004)
        assert abs(one["coverage"] - known["coverage"]) <= 5 * error, one
    assert (min(e["coverage"] for e in found) < 0.5) == (name in {"t", "percentile bootstrap"})


def test_every_way_runs(simulation) -> None:
    found = list(simulation.simulate(2, sizes=(5,)))

    assert len(found) == len(simulation.WAYS) * len(simulation.OUTCOMES)
    assert all(0 <= one["coverage"] <= 1 for one in found)


def test_truths_are_those_of_many_draws(simulation) -> None:
    draw, n = np.random.default_rng(0), 200_000
    for one in simulation.OUTCOMES:
        skills, behind = one.skills(draw, n), one.skills(draw, n, shift=simulation.gap(one))
        times, solved = one.times(draw, n)
        reached = np.sort(np.where(solved, times, np.inf))[n // 2 - 1000]

        assert skills.mean() == pytest.approx(one.mean, abs=0.005)
        assert (skills > simulation.ENOUGH).mean() == pytest.approx(one.rate, abs=0.005)
        assert (skills > behind).mean() == pytest.approx(
            one.superiority(simulation.gap(one)), abs=0.005
        )
        assert times.mean() == pytest.approx(one.restricted, abs=3)
        if one.solves != 0.5:
            assert reached == pytest.approx(one.median, abs=5)


def test_the_truth_of_improvement_is_that_of_many_draws(simulation) -> None:
    draw = np.random.default_rng(1)
    for one in simulation.OUTCOMES:
        a, b = one.runs(draw, 20_000), one.runs(draw, 20_000, shift=simulation.gap(one))
        assert (a > b).mean() == pytest.approx(one.improvement, abs=0.005)


def test_the_page_has_todays_table(simulation, committed) -> None:
    text = simulation.PAGE.read_text()

    assert text == simulation.page(text, committed), "benchmarks/interval_coverage.py writes it"
