"""A gate as JUnit XML."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

import pytest
from gate_reports import CONTROL, EVERY, GOOD, NEW, STILL, UNSURE, gate, timed, void
from hypothesis import given, settings
from hypothesis import strategies as st

from cellbench.report.gate_junit import clean, to_junit
from cellbench.verdicts import Verdict

ATTRIBUTES = {
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, set()),
    "testsuite": ({"name", "tests", "failures", "errors"}, {"skipped", "time"}),
    "testcase": ({"name"}, {"classname", "time"}),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "skipped": (set(), {"type", "message"}),
    "system-out": (set(), set()),
}
"""Element -> attributes that it must and may have: of junit-10.xsd, what is used here."""

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}


def parsed(report) -> ET.Element:
    return ET.fromstring(to_junit(report))  # noqa: S314 -- our own


def outcomes(root: ET.Element) -> dict[tuple[str, str], str]:
    return {
        (case.get("classname"), case.get("name")): next(
            (child.tag for child in case if child.tag != "system-out"), "passed"
        )
        for case in root.iter("testcase")
    }


def keeps_the_schema(element: ET.Element) -> None:
    must, may = ATTRIBUTES[element.tag]

    assert must <= set(element.keys()) <= must | may, element.tag
    assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    for child in element:
        keeps_the_schema(child)


REPORTS = [gate(*EVERY, exit=4), gate(*GOOD), void(), gate(exit=5), gate(UNSURE, exit=3)]


@pytest.mark.parametrize("report", REPORTS)
def test_it_is_built_as_jenkins_wants_it(report) -> None:
    root = parsed(report)

    assert root.tag == "testsuites"
    assert to_junit(report).startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    keeps_the_schema(root)


def test_a_suite_is_a_cell_and_a_case_a_metric_with_the_outcome_of_its_verdict() -> None:
    root = parsed(gate(*EVERY, exit=4))

    assert outcomes(root) == {
        ("lstm", "train_step"): "passed",
        ("lstm", "parameters"): "passed",
        ("lstm", "copying/tiny"): "passed",
        ("hyperlstm", "train_step"): "failure",
        ("hyperlstm", "peak_allocated_bytes"): "failure",
        ("gru", "parameters"): "failure",
        ("gru", "copying/tiny"): "failure",
        ("lstmn", "train_step"): "skipped",
        ("min_gru", "train_step"): "passed",
        ("rnn", "operations"): "passed",
        ("my_cell.py:MyCell(a=0.9)", "cell"): "error",
        ("ugrnn", "cell"): "failure",
        ("mgu", "cell"): "skipped",
        (CONTROL, "train_step"): "passed",
    }
    assert [suite.get("name") for suite in root][:3] == ["lstm", "hyperlstm", "gru"]


@pytest.mark.parametrize("report", REPORTS)
def test_counts_are_those_of_the_cases(report) -> None:
    root = parsed(report)
    for suite in root:
        found = Counter(outcomes(suite).values())
        assert int(suite.get("tests")) == sum(found.values()) > 0
        assert int(suite.get("failures")) == found["failure"]
        assert int(suite.get("errors")) == found["error"]
        assert int(suite.get("skipped")) == found["skipped"]

    found = Counter(outcomes(root).values())
    assert int(root.get("tests")) == sum(found.values())
    assert int(root.get("failures")) == found["failure"]
    assert int(root.get("errors")) == found["error"]
    assert float(root.get("time")) == pytest.approx(201.4)


def test_a_message_says_what_was_found() -> None:
    root = parsed(gate(*EVERY, exit=4))
    messages = {child.get("message") for case in root.iter("testcase") for child in case}

    assert "regressed: 1.21x [1.17, 1.26], confirmed" in messages
    assert "1.06x [0.98, 1.15]; cannot tell; about --launches 20 would" in messages
    assert "changed: 33,280 -> 33,281" in messages


def test_of_a_void_gate_every_case_is_an_error() -> None:
    for report in (void(*GOOD, UNSURE, NEW), void(*EVERY)):
        root = parsed(report)

        assert set(outcomes(root).values()) == {"error"}
        assert {e.get("message") for e in root.iter("error")} == {f"void: {report.void}"}


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (gate(exit=5, exit_reason="nothing was measured"), "error"),
        (gate(*GOOD, exit=6), "error"),
        (gate(UNSURE, exit=3), "failure"),
        (gate(void="the control moved", exit=5), "error"),
    ],
)
def test_a_gate_that_failed_never_leaves_a_file_without_failure_or_error(report, outcome) -> None:
    assert outcomes(parsed(report))["cellbench", "gate"] == outcome


@pytest.mark.parametrize("report", [gate(*GOOD), gate(*GOOD, UNSURE)])
def test_a_gate_that_passed_has_neither(report) -> None:
    assert not {"failure", "error"} & set(outcomes(parsed(report)).values())


def test_a_control_that_was_looked_at_twice_has_two_names() -> None:
    assert list(outcomes(parsed(gate(STILL, STILL)))) == [
        (CONTROL, "train_step"), (CONTROL, "train_step (2)"),
    ]  # fmt: skip


def test_what_xml_cannot_hold_is_left_out() -> None:
    assert clean("a\x00b\x1b[31m\ud800c\ufffe\td\n😀") == "ab[31mc\td\n😀"


@given(st.text(), st.text())
@settings(deadline=None)
def test_any_text_is_well_formed(cell, detail) -> None:
    text = to_junit(gate(timed(cell, Verdict.FAILED, detail=detail, metric=detail), exit=4))
    root = ET.fromstring(text.encode())  # noqa: S314 -- our own

    assert [case.tag for case in root.iter("error")] == ["error"]
