"""The long tables: columns, values by hand, failures, and nothing that is not finite."""

from __future__ import annotations

import csv
import io
import math
import sys

import pytest
from export_records import BAD, GOOD, speed, timings
from records import ENVIRONMENT, measurement, trial

from cellbench.errors import NothingMeasuredError, OptionError
from cellbench.record import Cost, Rung, Work
from cellbench.report.export import csv_table, parquet_table
from cellbench.report.export.ask import Ask
from cellbench.report.export.values import samples, values

COLUMNS = (
    "run_id,unit_id,started_at,commit,dirty,env,cell,cell_version,n_params,task,level,"
    "task_version,task_digest,seed,phase,mode,dtype,T,B,input,hidden,status,metric,value,unit,"
    "better,n,ci_low,ci_high,ci_method,ci_level"
)


def table(lines, **ask) -> list[dict[str, str]]:
    (content,) = csv_table.export(lines, Ask(**ask)).values()
    return list(csv.DictReader(io.StringIO(content.decode())))


def row(lines, metric: str) -> dict[str, str]:
    (found,) = [one for one in table(lines) if one["metric"] == metric]
    return found


def test_the_columns_are_those_that_are_promised() -> None:
    (content,) = csv_table.export(GOOD, Ask()).values()

    assert content.decode().splitlines()[0] == COLUMNS


def test_a_trial_has_a_row_for_each_metric() -> None:
    one = trial(commit="abc-dirty", ladder=(Rung(length=20, sequences=8, skill=0.25),))
    found = {r["metric"]: r for r in table([ENVIRONMENT, one])}

    assert found["skill"]["value"] == "0.994"
    assert found["test_accuracy"]["better"] == "higher"
    assert found["skill@20"]["value"] == "0.25"
    assert found["steps_to_solve"]["value"] == "1500"
    assert found["steps_to_solve"]["unit"] == "steps"
    skill = found["skill"]
    assert (skill["task"], skill["level"], skill["seed"]) == ("copying", "delay-10", "0")
    assert (skill["commit"], skill["dirty"]) == ("abc", "true")
    assert (skill["n_params"], skill["ci_low"]) == ("", "")


def test_an_error_that_is_minimised_is_better_when_lower() -> None:
    level = trial().level.__class__(
        id="adding/length-50", version=1, digest="d", metric="mse", trivial=1 / 6, perfect=0.0,
        solved=0.01, batch=64,
    )  # fmt: skip

    assert row([trial(level=level, test_metric=0.02)], "test_mse")["better"] == "lower"


def test_a_seed_that_never_solved_has_a_row_without_steps() -> None:
    one = trial(steps_to_solve=None, sequences_to_solve=None)

    assert row([one], "solved")["value"] == "0.0"
    assert row([one], "steps_to_solve")["value"] == ""
    assert row([one], "steps_to_solve")["n"] == "0"


def test_a_time_is_the_median_block_with_an_interval_that_says_its_level() -> None:
    found = row([speed()], "train_step_s")

    assert float(found["value"]) == 0.2
    assert (float(found["ci_low"]), float(found["ci_high"])) == (0.1, 0.5)
    assert float(found["ci_level"]) == 0.9375
    assert (found["n"], found["unit"], found["better"]) == ("5", "s", "lower")
    assert (found["T"], found["B"], found["input"], found["hidden"]) == ("8", "16", "64", "64")
    assert (found["task"], found["phase"]) == ("", "train")


def test_sequences_a_second_are_of_the_same_blocks() -> None:
    found = row([speed()], "train_step_sequences_per_s")

    assert float(found["value"]) == 16 / 0.2
    assert (float(found["ci_low"]), float(found["ci_high"])) == (16 / 0.5, 16 / 0.1)
    assert found["better"] == "higher"


def test_each_clock_has_a_metric_of_its_own() -> None:
    cost = Cost(
        timings=timings(device_blocks_s=(0.2,) * 5, replay_blocks_s=(0.1,) * 5),
        work=Work(operations=1, bytes=1),
    )
    found = {v.metric: v.value for v in values([speed(train_step=cost)])}

    assert found["train_step_device_s"] == pytest.approx(0.1)
    assert found["train_step_replay_s"] == pytest.approx(0.05)


def test_a_measurement_has_what_it_counted() -> None:
    found = {r["metric"]: r for r in table([measurement()])}

    assert found["cell_parameters"]["value"] == "19456"
    assert found["peak_allocated_bytes"]["unit"] == "bytes"
    assert found["train_step_s"]["T"] == "20"
    assert {r["n_params"] for r in found.values()} == {"19456"}
    assert "process_bytes" not in found, "None is no row"


def test_a_failure_is_a_row_without_a_value() -> None:
    crashed, refused, split = table(BAD)

    assert (crashed["status"], crashed["metric"], crashed["value"]) == ("crashed", "", "")
    assert crashed["cell"] == refused["cell"] == "mine.py:Mine"
    assert (split["cell"], split["status"], split["metric"]) == ("split", "ok", "")


def test_nothing_that_is_not_finite_reaches_a_file() -> None:
    endless = timings(blocks_s=(math.inf, math.nan, 1.0, 3.0, 2.0))
    cost = Cost(timings=endless, work=Work(operations=1, bytes=1))
    lines = [trial(skill=math.nan, test_loss=math.inf), speed(train_step=cost)]
    (content,) = csv_table.export(lines, Ask()).values()
    (raw,) = csv_table.export(lines, Ask(samples=True)).values()

    assert "nan" not in content.decode().lower()
    assert "inf," not in content.decode().lower()
    assert float(row(lines, "train_step_s")["value"]) == 1.0, "of what is finite"
    assert [line.split(",")[3:] for line in raw.decode().splitlines()[1:]] == [
        ["2", "0.5"],
        ["3", "1.5"],
        ["4", "1.0"],
    ]


def test_samples_are_raw_and_in_the_order_they_ran() -> None:
    rows = table([speed()], samples=True)

    assert list(rows[0]) == ["unit_id", "metric", "launch", "round", "value"]
    assert [float(one["value"]) for one in rows] == [0.2, 0.1, 0.3, 0.15, 0.5]
    assert [one["round"] for one in rows] == list("01234")


def test_of_what_was_done_twice_the_newest_counts() -> None:
    found = row([trial(skill=0.1), trial(skill=0.9)], "skill")

    assert found["value"] == "0.9"


def test_nothing_is_no_success() -> None:
    with pytest.raises(NothingMeasuredError, match="cellbench run"):
        values([ENVIRONMENT])
    with pytest.raises(NothingMeasuredError, match="cellbench perf"):
        samples([ENVIRONMENT, trial()])


def test_parquet_holds_what_csv_holds() -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    (content,) = parquet_table.export([*GOOD, *BAD], Ask()).values()
    found = pq.read_table(io.BytesIO(content))

    assert ",".join(found.column_names) == COLUMNS
    for kept, written in zip(found.to_pylist(), values([*GOOD, *BAD]), strict=True):
        assert kept == {name: getattr(written, name) for name in kept}
    assert str(found.schema.field("seed").type) == "int64"
    assert str(found.schema.field("n_params").type) == "int64"


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(OptionError, match=r"pip install 'cellbench\[parquet\]'"):
        parquet_table.export(GOOD, Ask())
