"""A gate in words: its answer, its order, its numbers, what it is worth."""

from __future__ import annotations

import pytest
from gate_reports import (
    ACCEPTED,
    CALIBRATION,
    CHANGED,
    CONTROL,
    EVERY,
    FAILED,
    FASTER,
    GOOD,
    LARGER,
    MISSING,
    MOVED,
    NEW,
    REGRESSED,
    STILL,
    UNSURE,
    WORSE_SKILL,
    counted,
    gate,
    learned,
    timed,
    void,
)
from msgspec.structs import replace

from cellbench.errors import Exit
from cellbench.report import gate_numbers as numbers
from cellbench.report import gate_rows as rows
from cellbench.report.gate_noise import UNKNOWN, noise
from cellbench.verdicts import Verdict


@pytest.mark.parametrize(
    ("report", "word", "answer"),
    [
        (
            gate(*GOOD, REGRESSED, exit=1),
            "regressed",
            "regressed: hyperlstm train_step 1.21x [1.17, 1.26], confirmed",
        ),
        (
            gate(REGRESSED, LARGER, CHANGED, exit=1),
            "regressed",
            "regressed: hyperlstm train_step 1.21x [1.17, 1.26], confirmed; and 2 more",
        ),
        (gate(*GOOD, CHANGED, exit=1), "regressed", "changed: gru parameters 33,280 -> 33,281"),
        (
            gate(*GOOD, WORSE_SKILL, exit=1),
            "regressed",
            "regressed: gru copying/tiny 0.99 -> 0.41; solved 10 -> 2 of 10 seeds",
        ),
        (
            gate(REGRESSED, MISSING, exit=4),
            "failed",
            "missing: ugrnn cell: UnknownNameError: There is no cell named 'ugrnn'; and 1 more",
        ),
        (
            gate(*GOOD),
            "passed",
            "no regression beyond 3%: 3 equivalent, 2 exact metrics equal",
        ),
        (
            gate(*GOOD, UNSURE),
            "inconclusive",
            (
                "no regression beyond 3%: 3 equivalent, 1 inconclusive (cannot tell), 2 exact "
                "metrics equal"
            ),
        ),
        (
            gate(*GOOD, UNSURE, exit=3),
            "inconclusive",
            "cannot tell: 3 equivalent, 1 inconclusive (cannot tell), 2 exact metrics equal",
        ),
        (gate(UNSURE, STILL), "inconclusive", "cannot tell: 1 inconclusive (cannot tell)"),
        (
            gate(timed(margin=0.041), timed("gru"), ACCEPTED, FASTER, NEW),
            "passed",
            "no regression beyond 3%–4.1%: 2 equivalent, 1 accepted, 1 new, 1 improved",
        ),
        (
            gate(counted(detail="rounding only, 1e-12")),
            "passed",
            "no regression: 1 exact metric equal (1 but for rounding)",
        ),
        (void(), "void", f"void: the control {CONTROL} moved to 1.300x"),
        (void(REGRESSED, MOVED), "void", f"void: the control {CONTROL} moved to 1.300x"),
        (gate(exit=5, exit_reason="no round\nwas left"), "nothing", "no answer: no round was left"),
        (
            gate(NEW, STILL, exit=5, exit_reason=""),
            "nothing",
            "no answer: nothing was measured on both sides",
        ),
        (gate(*GOOD, exit=6, exit_reason="two CPUs"), "nothing", "no answer: two CPUs"),
    ],
)  # fmt: skip
def test_the_answer_is_one_line_and_one_word(report, word, answer) -> None:
    assert rows.answer(report) == answer
    assert rows.overall(report) == word


def test_what_is_worst_comes_first_and_the_control_is_not_among_it() -> None:
    order = [finding.verdict for finding in rows.cells(gate(*reversed(EVERY)))]

    assert order == sorted(order, key=rows.ORDER.index)
    assert set(order) == set(Verdict), "every verdict has its place"
    assert CONTROL not in {finding.cell for finding in rows.cells(gate(*EVERY))}
    assert set(rows.ORDER) == set(Verdict)


def test_of_two_regressions_the_larger_comes_first() -> None:
    small = replace(REGRESSED, cell="a", ratio=1.3, low=1.04, high=1.6)
    skill = learned("b", Verdict.REGRESSED, base=0.9, head=0.8)

    assert [f.cell for f in rows.cells(gate(small, skill, REGRESSED))] == ["hyperlstm", "b", "a"]


def test_an_exact_metric_has_no_line_only_where_it_is_equal() -> None:
    report = gate(counted(), counted("gru"), CHANGED, replace(counted(), verdict=Verdict.IMPROVED))

    assert [f.verdict for f in rows.listed(report)] == [Verdict.CHANGED, Verdict.IMPROVED]
    assert rows.counted(report).endswith("2 exact metrics equal")


@pytest.mark.parametrize(
    "finding",
    [
        UNSURE,
        replace(UNSURE, detail=""),
        replace(UNSURE, detail="only 3 of at least 5 launches came to an end"),
        counted("lstm", Verdict.INCONCLUSIVE, detail="not counted"),
        learned("lstm", Verdict.INCONCLUSIVE),
    ],
)
def test_inconclusive_always_reads_cannot_tell_and_has_a_remedy(finding) -> None:
    (told,) = rows.grouped([finding])
    _, _, remedy = rows.detail(finding).rpartition(";")

    assert rows.verdict(finding) == "cannot tell"
    assert "cannot tell" in rows.described(finding)
    assert told.count("cannot tell") == 1
    assert remedy.strip()
    assert "equivalent" not in told


def test_cells_of_which_the_same_is_said_share_a_line() -> None:
    same = "first losses of 3 seeds equal, bit for bit"
    told = list(rows.grouped([learned("a", detail=same), FAILED, learned("b", detail=same)]))

    assert told[0] == f"a, b copying/tiny: equivalent: {same}"
    assert len(told) == 2


def test_of_many_cells_the_first_are_named() -> None:
    (told,) = rows.grouped([learned(f"c{n}", detail="as before") for n in range(20)])

    assert told.startswith("c0, c1, c2, c3, c4, c5, c6, c7 and 12 more copying/tiny: equivalent")


def test_a_control_is_told_in_every_stage() -> None:
    text = rows.control(gate(*GOOD, replace(STILL, ratio=1.02, low=1.0, high=1.04)))

    assert text == (
        f"control {CONTROL}, the same code on both sides: train_step 1.00 [0.99, 1.01], "
        "train_step 1.02 [1.00, 1.04]"
    )
    assert "no control" in rows.control(gate(*GOOD, control=""))
    assert "was not timed" in rows.control(gate(timed()))


def test_what_the_control_computes_is_judged_as_of_any_cell() -> None:
    assert rows.cells(gate(counted(CONTROL, Verdict.CHANGED)))


def test_dropped_rounds_are_counted_and_the_worst_is_named() -> None:
    assert rows.dropped_rounds(gate(*EVERY)) == (
        "left out 15 rounds that something else disturbed (the most in lstmn train_step, 12)"
    )
    assert not rows.dropped_rounds(gate(*GOOD))
    assert not rows.dropped_rounds(gate())


def test_what_weakens_the_promise_comes_first() -> None:
    report = gate(*GOOD, UNSURE, advisory=("load 3 on 2 cores",), notes=("lock files differ",))
    told = list(rows.remarks(report))

    assert told[0] == "advisory only: load 3 on 2 cores"
    assert "lock files differ" in told


def test_the_two_sides_are_named_by_what_was_asked_for_and_commit() -> None:
    assert rows.sides(gate()) == (
        "base origin/main (0123456789ab), head fedcba987654 and changes since"
    )
    plain = gate(base="0123456789abcdef0123", head_commit="fedcba9876543210")
    assert rows.sides(plain) == "base 0123456789ab, head fedcba987654"
    assert rows.sides(gate(base_commit="")).startswith("base origin/main, head")


@pytest.mark.parametrize(
    ("changes", "texts", "ratio"),
    [
        ({}, ("10 ms", "10.1 ms"), "1.00 [0.99, 1.02]"),
        ({"base": 12.34e-6, "head": 12.35e-6}, ("12.3 µs", "12.3 µs"), "1.00 [0.99, 1.02]"),
        ({"low": 1.031, "high": 1.2, "ratio": 1.1}, ("10 ms", "10.1 ms"), "1.100 [1.031, 1.200]"),
        ({"high": 1.0299}, ("10 ms", "10.1 ms"), "1.0040 [0.9910, 1.0299]"),
        ({"low": 0.9704}, ("10 ms", "10.1 ms"), "1.0040 [0.9704, 1.0180]"),
        ({"low": 1.03, "margin": 0.03}, ("10 ms", "10.1 ms"), "1.00 [1.03, 1.02]"),
        ({"ratio": None}, ("10 ms", "10.1 ms"), "–"),
        ({"base": None, "low": None}, ("–", "10.1 ms"), "1.00"),
    ],
)
def test_a_bound_is_never_rounded_to_the_other_side_of_its_margin(changes, texts, ratio) -> None:
    finding = timed(**changes)

    assert numbers.both(finding) == texts
    assert numbers.ratio(finding) == ratio


@pytest.mark.parametrize(
    ("unit", "base", "head", "texts", "ratio"),
    [
        ("bytes", 1000.0, 1000.0, ("1000 B", "1000 B"), "1.00"),
        ("bytes", 512.0, 4608.0, ("512 B", "4.5 KiB"), "9.00"),
        ("bytes", 2.0**24, 2.0**24 + 4, ("16,777,216 B", "16,777,220 B"), "1.000000"),
        ("bytes", 3 * 2.0**30, 2.0**40, ("3 GiB", "1024 GiB"), "341.33"),
        ("operations", 1e6, 1e6 + 1, ("1,000,000", "1,000,001"), "1.000001"),
        ("", 33_280.0, 33_281.0, ("33,280", "33,281"), "1.00003"),
        ("", 2.0, 3.0, ("2", "3"), "1.50"),
        ("", 0.5, 0.50000001, ("0.5", "0.50000001"), "1.000000"),
    ],
)  # fmt: skip
def test_two_numbers_that_differ_never_read_the_same(unit, base, head, texts, ratio) -> None:
    finding = counted(unit=unit, base=base, head=head, ratio=head / base)

    assert numbers.both(finding) == texts
    assert numbers.ratio(finding) == ratio


def test_of_skills_the_difference_is_told() -> None:
    assert numbers.both(WORSE_SKILL) == ("0.99", "0.41")
    assert numbers.ratio(WORSE_SKILL) == "-0.58"
    assert numbers.ratio(learned()) == "–"


@pytest.mark.parametrize(
    ("elapsed_s", "text"),
    [(8.31, "8.31 s"), (59.99, "60 s"), (60, "1 min 0 s"), (201.4, "3 min 21 s"),
     (3599.7, "1 h 0 min"), (3900, "1 h 5 min")],
)  # fmt: skip
def test_how_long_it_took(elapsed_s, text) -> None:
    assert numbers.duration(elapsed_s) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.03, "3%"), (0.045, "4.5%"), (0.0025, "0.25%"), (0.0996, "10%"), (1.5,
     "150%")],
)  # fmt: skip
def test_shares_have_two_digits(share, text) -> None:
    assert numbers.percent(share) == text


def test_a_machine_whose_noise_nobody_measured_says_what_to_run() -> None:
    assert list(noise(gate(*GOOD))) == [UNKNOWN]
    assert "cellbench calibrate" in UNKNOWN


def test_what_a_gate_of_this_machine_is_worth() -> None:
    alarms = "1 false alarm in 200 gates of equal code, 8 launches each"

    assert list(noise(gate(*GOOD, calibration=CALIBRATION))) == [
        f"noise of this machine, from 48 launches: {alarms}",
        "noise floors: lstm train_step 1.2%, gru inference 4.1%",
        "slow-downs that 95% of gates catch, at least: lstm train_step 4.7%, gru inference 9.3%",
    ]


def test_of_many_floors_the_ends_are_told() -> None:
    floors = {f"{cell} train_step": n / 100 for n, cell in enumerate("abcde", start=1)}
    known = replace(CALIBRATION, floors=floors, detectable={})
    told = list(noise(gate(*map(timed, "abcde"), calibration=known)))

    assert "noise floors: 1% (a train_step) to 5% (e train_step)" in told
    assert len(told) == 2


def test_what_the_calibration_does_not_hold_for_is_told() -> None:
    report = gate(timed(launches=6), timed("rnn"), calibration=CALIBRATION)
    told = list(noise(report))

    assert "noise unknown of rnn train_step: run `cellbench calibrate` with them" in told
    assert "this gate had only 6 launches: it sees less than that" in told


def test_the_end_says_where_the_raw_values_are_and_what_the_exit_code_means() -> None:
    report = gate(exit=Exit.REGRESSED, exit_reason="worse than base: lstm train_step")

    assert rows.ending(report) == (
        "Some CPU, 1 thread, torch 2.13.0; took 3 min 21 s; raw values in "
        "results/local-gate/gate.jsonl; exit code 1 (worse than base: lstm train_step)"
    )
