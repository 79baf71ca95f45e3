"""A gate for programs: JSON and back, and what others draw."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from gate_reports import CALIBRATION, CONTROL, EVERY, GOOD, MISSING, counted, gate, timed, void
from msgspec.structs import asdict, replace

from cellbench.errors import Exit, NothingMeasuredError, StoreError
from cellbench.report.gate_data import read_gate_report, to_json
from cellbench.report.gate_exports import to_action_benchmark, to_bmf, to_csv

WHOLE = gate(*EVERY, exit=4, calibration=CALIBRATION, advisory=("a",), notes=("b",))


def no_constants(text: str) -> object:
    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("report", [WHOLE, gate(*GOOD), void(), gate()])
def test_a_report_comes_back_as_it_was(report, tmp_path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(to_json(report))

    assert read_gate_report(path) == report
    assert no_constants(to_json(report))["schema"] == 1


def test_what_is_not_finite_is_null_or_left_out_and_still_comes_back(tmp_path) -> None:
    known = replace(CALIBRATION, detectable={"lstm train_step": math.inf, "gru x": 0.1})
    report = gate(timed(ratio=math.inf, high=math.nan), calibration=known)
    path = tmp_path / "gate.json"
    path.write_text(to_json(report))
    found = read_gate_report(path)

    assert found.findings[0].ratio is None
    assert found.findings[0].high is None
    assert found.calibration.detectable == {"gru x": 0.1}
    no_constants(to_json(report))


def test_a_folder_whose_name_is_no_text_does_not_lose_the_report(tmp_path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(to_json(gate(*GOOD, journal="caf\udce9/gate.jsonl")))

    assert read_gate_report(path).journal == "caf?/gate.jsonl"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (to_json(WHOLE)[:-300], "is damaged"),
        ("", "is damaged"),
        ("\udcff", "is damaged"),
        ("[]", "is no report of a gate"),
        ('{"speeds": [], "scaling": []}', "is no report of a gate"),
        ('{"schema": 1, "run_id": "x"}', "is no report of a gate"),
        ('{"schema": 2, "run_id": "x", "findings": "other"}', "newer cellbench"),
    ],
)
def test_what_cannot_be_read_is_an_error_in_one_line(text, message, tmp_path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(StoreError, match=message) as caught:
        read_gate_report(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(StoreError, match=r"Cannot read .*`cellbench gate --json`"):
            read_gate_report(path)


def test_bencher_gets_a_benchmark_a_cell_and_a_measure_a_metric() -> None:
    found = no_constants(to_bmf(WHOLE))

    assert found["hyperlstm"]["train_step"] == {"value": 0.0121}
    assert found["hyperlstm"]["train_step_ratio"] == {
        "value": 1.2134, "lower_value": 1.1712, "upper_value": 1.2571,
    }  # fmt: skip
    assert found["gru"]["copying/tiny"] == {"value": 0.41}
    assert CONTROL not in found
    assert "ugrnn" not in found, "it has no number"
    for measures in found.values():
        for measure in measures.values():
            assert "value" in measure
            assert set(measure) <= {"value", "lower_value", "upper_value"}


def test_the_other_action_gets_what_is_better_smaller() -> None:
    found = no_constants(to_action_benchmark(WHOLE))
    entries = {entry["name"]: entry for entry in found}

    assert entries["hyperlstm train_step"]["value"] == 0.0121
    assert entries["hyperlstm train_step"]["unit"] == "s"
    assert entries["hyperlstm train_step"]["range"] == "1.171–1.257 of base"
    assert entries["gru parameters"]["unit"] == "count"
    assert "gru copying/tiny" not in entries, "more skill is better"
    assert "verdict: regressed" in entries["hyperlstm train_step"]["extra"]


def test_a_number_that_is_not_finite_is_not_exported() -> None:
    report = gate(timed(head=math.nan), counted(), timed("gru", ratio=math.inf, low=-math.inf))
    found = no_constants(to_bmf(report))

    assert found["lstm"] == {"parameters": {"value": 33_280}}
    assert set(found["gru"]) == {"train_step"}
    no_constants(to_action_benchmark(report))
    assert not {"nan", "inf", "-inf"} & set(to_csv(report).replace("\n", ",").split(","))


@pytest.mark.parametrize("export", [to_bmf, to_action_benchmark])
@pytest.mark.parametrize("report", [void(), gate(), gate(MISSING)])
def test_of_a_void_or_empty_gate_there_is_nothing_to_keep(export, report) -> None:
    with pytest.raises(NothingMeasuredError) as caught:
        export(report)

    assert caught.value.exit == Exit.NOTHING


def test_csv_has_a_line_for_each_finding_and_every_fact() -> None:
    found = list(csv.DictReader(io.StringIO(to_csv(WHOLE))))
    line = next(row for row in found if (row["cell"], row["metric"]) == ("hyperlstm", "train_step"))

    assert len(found) == len(EVERY)
    assert line["ratio"] == "1.2134"
    assert (line["base"], line["base_value"], line["head_value"]) == ("origin/main", "0.01",
                                                                      "0.0121")  # fmt: skip
    assert line["confirmed"] == "True"
    assert line["role"] == "cell"
    assert [row["role"] for row in found if row["cell"] == CONTROL] == ["control"]
    assert found[2]["base_value"] == "", "None is empty"
    assert set(asdict(EVERY[0])) - {"base", "head"} <= set(line)
