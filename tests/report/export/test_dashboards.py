"""What other programs read: names that stay, bounds, directions, and their own checks."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from export_records import BAD, BLOCKS_S, GOOD, OTHER_MACHINE, speed
from msgspec.structs import replace
from pytest_benchmark.stats import Stats
from records import ENVIRONMENT, SETTINGS, measurement, trial

from cellbench.errors import IncomparableError, NothingMeasuredError
from cellbench.record import Sizes
from cellbench.report.export import bencher, github_action, pytest_benchmark
from cellbench.report.export.ask import Ask
from cellbench.report.export.points import left_out, name_of, one_machine, points

JOB = "lstm copying/delay-10 hidden=64 steps=2000 device=cpu"
SPEED = "lstm T=8 B=16 H=64 device=cpu"


def read(module, lines, **ask):
    (content,) = module.export(lines, Ask(**ask)).values()
    return json.loads(content)


# --- names ----------------------------------------------------------------------------------


def test_a_name_tells_what_was_asked_and_stays_whatever_else_is_there() -> None:
    residual = replace(SETTINGS, depth=2, block="residual", dtype="float64")

    assert name_of(trial()) == name_of(measurement()) == JOB
    assert name_of(trial(settings=residual)) == f"{JOB} dtype=float64 depth=2 block=residual"
    assert name_of(speed()) == SPEED
    wide = Sizes(time=8, batch=16, input=32, hidden=64)
    assert name_of(speed(sizes=wide, dtype="float64", unroll="stepwise")) == (
        "lstm T=8 B=16 H=64 input=32 device=cpu dtype=float64 unroll=stepwise"
    )


def test_seeds_are_one_point_and_never_a_mean() -> None:
    seeds = [
        trial(seed=n, skill=skill, steps_to_solve=steps)
        for n, (skill, steps) in enumerate([(0.0, None), (0.9, 100), (1.0, 300)])
    ]
    found = {one.measure: one for one in points(seeds)}

    assert (found["skill"].value, found["skill"].low, found["skill"].high) == (0.9, 0.0, 1.0)
    assert found["solved_share"].value == pytest.approx(2 / 3)
    assert found["steps_to_solve"].value == 300, "one that never solved lies above all others"


def test_where_half_never_solved_there_are_no_steps_to_draw() -> None:
    seeds = [trial(seed=0), trial(seed=1, steps_to_solve=None)]

    assert "steps_to_solve" not in {one.measure for one in points(seeds)}


# --- what has no value ----------------------------------------------------------------------


def test_what_has_no_value_is_left_out_and_told_with_the_reason() -> None:
    told = left_out([*GOOD, *BAD])

    assert told == [
        f"{JOB.replace('lstm', 'mine.py:Mine')}: crashed (ValueError: no)",
        f"{SPEED.replace('lstm', 'mine.py:Mine')}: crashed (ValueError: no)",
        f"{SPEED.replace('lstm', 'split')}: they differ; not timed",
    ]
    assert left_out(GOOD) == []
    assert {one.benchmark for one in points([*GOOD, *BAD])} == {JOB, SPEED}


@pytest.mark.parametrize("module", [bencher, github_action, pytest_benchmark])
def test_nothing_but_failures_is_nothing(module) -> None:
    with pytest.raises(NothingMeasuredError):
        module.export([ENVIRONMENT, *BAD], Ask())


# --- machines -------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [bencher, github_action, pytest_benchmark])
def test_two_machines_are_never_in_one_chart(module) -> None:
    lines = [*GOOD, OTHER_MACHINE, speed("gru", env="other")]

    with pytest.raises(IncomparableError, match="device is 'Other CPU' or 'Some CPU'"):
        module.export(lines, Ask())


def test_two_dtypes_are_since_a_name_tells_them() -> None:
    double = replace(ENVIRONMENT, digest="f64", key=ENVIRONMENT.key | {"dtype": "float64"})
    lines = [*GOOD, double, speed(speed_id="double", dtype="float64", env="f64")]

    assert one_machine(lines) == {k: v for k, v in ENVIRONMENT.key.items() if k != "dtype"}
    assert f"{SPEED} dtype=float64" in read(bencher, lines)


# --- Bencher --------------------------------------------------------------------------------


def follows_the_schema(output) -> bool:
    """Check what the JSON Schema of https://bencher.dev/bmf.json asks for."""
    return all(
        isinstance(benchmark, str)
        and 0 < len(benchmark) <= 1024
        and 0 < len(measure) <= 64
        and "value" in metric
        and set(metric) <= {"value", "lower_value", "upper_value"}
        and all(type(number) in (int, float) for number in metric.values())
        for benchmark, measures in output.items()
        for measure, metric in measures.items()
    )


def test_bencher_gets_values_with_bounds() -> None:
    found = read(bencher, GOOD)

    assert follows_the_schema(found)
    assert not follows_the_schema({"a": {"b": {"lower_value": 1}}})
    assert found[SPEED]["train_step_s"] == {"value": 0.2, "lower_value": 0.1, "upper_value": 0.5}
    assert found[JOB]["cell_parameters"] == {"value": 19_456}
    assert found[JOB]["skill"]["lower_value"] == 0.5
    for measures in found.values():
        for metric in measures.values():
            assert metric.get("lower_value", 0) <= metric["value"]
            assert metric.get("upper_value", metric["value"]) >= metric["value"]


# --- github-action-benchmark ----------------------------------------------------------------


def test_each_direction_is_a_file_and_every_value_is_in_one() -> None:
    both = github_action.export(GOOD, Ask())
    smaller, bigger = (read(github_action, GOOD, direction=one) for one in ("smaller", "bigger"))

    assert set(both) == {"customSmallerIsBetter.json", "customBiggerIsBetter.json"}
    assert json.loads(both["customSmallerIsBetter.json"]) == smaller
    names = [one["name"] for one in smaller + bigger]
    assert len(names) == len(set(names)) == len(points(GOOD))
    assert f"{JOB} skill" in [one["name"] for one in bigger]
    assert f"{SPEED} train_step_s" in [one["name"] for one in smaller]
    assert not [one for one in bigger if one["name"].endswith("_s") and "per_s" not in one["name"]]


def test_an_entry_has_the_fields_that_the_action_reads() -> None:
    (found,) = [
        one
        for one in read(github_action, GOOD, direction="smaller")
        if one["name"] == f"{SPEED} train_step_s"
    ]

    assert found == {
        "name": f"{SPEED} train_step_s",
        "unit": "s",
        "value": 0.2,
        "range": "0.1 to 0.5",
        "extra": "median of 5 blocks; order statistics of the blocks of one launch",
    }


# --- pytest-benchmark -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, 23])
def test_statistics_are_those_of_pytest_benchmark_itself(count) -> None:
    draw = random.Random(count)  # noqa: S311 -- no secret
    data = [draw.expovariate(1.0) for _ in range(count)]
    theirs = Stats()
    for one in data:
        theirs.update(one)
    ours, theirs = pytest_benchmark.stats(data), theirs.as_dict()

    assert ours.pop("data") == data
    assert ours.pop("outliers") == theirs.pop("outliers")
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_a_round_is_a_block_and_its_iterations_are_calls() -> None:
    (found,) = read(pytest_benchmark, [ENVIRONMENT, speed()])["benchmarks"]

    assert found["stats"]["iterations"] == 2
    assert found["stats"]["data"] == [s / 2 for s in BLOCKS_S]
    assert found["stats"]["median"] == 0.2
    assert found["group"] == "train_step T=8 B=16 H=64 device=cpu"
    assert found["extra_info"]["key"] == ENVIRONMENT.key


def test_extra_info_has_cell_task_parameters_memory_and_key() -> None:
    found = read(pytest_benchmark, GOOD)
    about = found["benchmarks"][0]["extra_info"]

    assert about["cell"] == "lstm"
    assert about["task"] == "copying/delay-10"
    assert about["parameters"]["cell"] == 19_456
    assert about["memory"]["peak_allocated_bytes"] == 11 << 20
    assert found["machine_info"]["cellbench"] == ENVIRONMENT.key
    assert found["commit_info"]["id"] == "abc"


def test_pytest_benchmark_itself_compares_the_file(tmp_path) -> None:
    (content,) = pytest_benchmark.export([*GOOD, speed("gru")], Ask()).values()
    (tmp_path / "0001_ours.json").write_bytes(content)
    command = [sys.executable, "-m", "pytest_benchmark", "compare", "0001_ours.json"]
    done = subprocess.run(
        [*command, "--columns=median,rounds,iterations", "--csv=out.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "benchmark 'train_step T=8 B=16 H=64 device=cpu': 2 tests" in done.stdout
    assert f"train_step[{SPEED}]" in done.stdout
    assert "200.0000" in done.stdout, "milliseconds"
