"""A whole gate, on sides whose answers are known."""

from __future__ import annotations

import pytest
from fake_arms import CONTROL, KEY, FakeArm, gate, plan

from cellbench.errors import Exit, IncomparableError, NothingMeasuredError, OptionError
from cellbench.regress.conclude import accept, exit_code
from cellbench.verdicts import Facts, Launch, Stage, Verdict


def found(made, cell, metric):
    return next(f for f in made.run() if (f.cell, f.metric) == (cell, metric))


def code(made, fail_on=(), accepted=()):
    findings = [f for f in accept(made.run(), accepted) if f.cell != CONTROL]
    return exit_code(findings, made.void(), fail_on)[0]


def test_equal_sides_pass() -> None:
    assert code(gate(plan(), {})) is Exit.OK


def test_a_slower_cell_is_caught_and_confirmed_in_fresh_processes() -> None:
    made = gate(plan(), {"slower": {"slow": 1.1}})
    seen = found(made, "slow", "train_step")

    assert seen.verdict is Verdict.REGRESSED
    assert seen.confirmed
    assert seen.ratio == pytest.approx(1.1, rel=0.02)
    assert seen.low < 1.1 < seen.high
    assert len(made.launches[Stage.CONFIRM]) == made.plan.launches
    assert {b.cell for b in made.launches[Stage.CONFIRM][0].blocks} == {"slow", CONTROL}


def test_a_quicker_cell_is_an_improvement_and_passes() -> None:
    made = gate(plan(), {"slower": {"slow": 0.8}})

    assert found(made, "slow", "train_step").verdict is Verdict.IMPROVED
    assert code(gate(plan(), {"slower": {"slow": 0.8}})) is Exit.OK


def test_what_fresh_processes_do_not_confirm_is_no_regression() -> None:
    slow = iter([True] * 8 + [False] * 8)
    made = gate(plan(), {})
    start = made.start

    def wavering(side, order):
        arm, greeting = start(side, order)
        if side == "head" and made.facts:
            arm.slower = {"slow": 1.2} if next(slow) else {}
        return arm, greeting

    made.start = wavering
    seen = found(made, "slow", "train_step")

    assert seen.verdict is Verdict.INCONCLUSIVE
    assert seen.confirmed is False
    assert "did not agree" in seen.detail


def test_a_control_that_moves_makes_everything_void() -> None:
    made = gate(plan(), {"slower": {CONTROL: 1.2, "slow": 1.2, "steady": 1.2}})

    assert code(made) is Exit.NOTHING
    assert "control" in made.void()
    assert Stage.CONFIRM not in made.launches


def test_noise_is_cannot_tell_and_fails_only_if_asked() -> None:
    noisy = {"noise": 0.4}

    assert code(gate(plan(rounds=4), noisy, noisy)) is Exit.OK
    assert code(gate(plan(rounds=4), noisy, noisy), fail_on=("inconclusive",)) is Exit.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changed", "metric", "verdict"),
    [
        ({"values": {"parameters": 9}}, "parameters", Verdict.CHANGED),
        ({"values": {"leaked_bytes": 1}}, "leaked_bytes", Verdict.REGRESSED),
        ({"values": {"leaked_objects": 1}}, "leaked_objects", Verdict.REGRESSED),
        ({"values": {"graph_breaks": 1}}, "graph_breaks", Verdict.REGRESSED),
        ({"values": {"operations": 21}}, "operations", Verdict.REGRESSED),
        ({"values": {"peak_allocated_bytes": 101}}, "peak_allocated_bytes", Verdict.REGRESSED),
        ({"outputs": [1.0, 2.0001]}, "outputs", Verdict.CHANGED),
        ({"outputs": [1.0]}, "outputs", Verdict.CHANGED),
        ({"texts": {"compiles": "no: it prints"}}, "compiles", Verdict.CHANGED),
    ],
)
def test_what_is_counted_is_gated_exactly(changed, metric, verdict) -> None:
    asked = plan(launches=5, rounds=4)

    assert found(gate(asked, {"facts": {"slow": changed}}), "slow", metric).verdict is verdict
    assert code(gate(asked, {"facts": {"slow": changed}})) is Exit.REGRESSED
    meant = {("slow", metric)}
    assert code(gate(asked, {"facts": {"slow": changed}}), accepted=meant) is Exit.OK


def test_less_of_what_costs_is_an_improvement_and_rounding_is_nothing() -> None:
    changed = {"slow": {"values": {"operations": 19}, "outputs": [1.0, 2.0 + 1e-12]}}
    made = gate(plan(), {"facts": changed})

    assert found(made, "slow", "operations").verdict is Verdict.IMPROVED
    assert found(made, "slow", "outputs").verdict is Verdict.EQUIVALENT


def test_a_metric_that_only_base_could_count_fails() -> None:
    made = gate(plan(), {})
    made.count()
    head = made.facts["head"]["slow"]
    head.values.pop("graphs"), head.values.pop("graph_breaks")
    head.texts["graph"] = "not counted: X"
    made.time(Stage.FIRST, made.timeable())
    (seen,) = [f for f in made.findings(made.timeable()) if f.metric == "graph"]

    assert seen.verdict is Verdict.FAILED
    assert seen.detail == "not counted: X"


def test_a_cell_that_learns_worse_is_caught_by_ten_pairs_of_seeds() -> None:
    made = gate(plan(launches=5, rounds=4), {"skills": {"slow": 0.2}})
    seen = found(made, "slow", "copying/tiny")

    assert seen.verdict is Verdict.REGRESSED
    assert (seen.base, seen.head, seen.launches) == (1.0, pytest.approx(0.2), 10)
    assert "10 -> 0 of 10" in seen.detail


def test_five_seeds_are_no_hard_verdict_and_three_are_none() -> None:
    def verdict(count):
        asked = plan(launches=5, rounds=4, seeds=tuple(range(count)))
        return found(gate(asked, {"skills": {"slow": 0.2}}), "slow", "copying/tiny")

    assert verdict(9).verdict is Verdict.INCONCLUSIVE
    assert "10 seeds are needed" in verdict(9).detail
    assert verdict(3).verdict is Verdict.INCONCLUSIVE
    assert "too few" in verdict(3).detail


def broken(do, kind="RuntimeError"):
    return {"broken": {(do, "slow"): {"type": kind, "message": "it broke", "where": "x.py:1"}}}


@pytest.mark.parametrize("do", ["count", "prepare", "time", "learn"])
def test_a_cell_that_fails_at_head_alone_is_a_failure(do) -> None:
    head = broken(do) | ({"skills": {"slow": 0.5}} if do == "learn" else {})

    assert code(gate(plan(launches=5, rounds=4), head)) is Exit.FAILED


def test_a_cell_that_is_gone_is_missing_and_one_that_is_new_is_no_verdict() -> None:
    gone, asked = broken("count", "UnknownNameError"), plan(launches=5, rounds=4)

    assert found(gate(asked, gone), "slow", "cell").verdict is Verdict.MISSING
    assert code(gate(asked, gone)) is Exit.FAILED
    assert found(gate(asked, {}, gone), "slow", "cell").verdict is Verdict.NEW
    assert code(gate(asked, {}, gone)) is Exit.OK


def test_nothing_but_new_cells_is_nothing_measured() -> None:
    gone = broken("count", "UnknownNameError")

    assert code(gate(plan(cells=("slow",)), {}, gone)) is Exit.NOTHING


def test_a_cell_that_is_nowhere_is_a_slip_of_the_pen() -> None:
    gone = broken("count", "UnknownNameError")

    with pytest.raises(OptionError, match="slow: it broke"):
        gate(plan(), gone, gone).run()


def test_sides_that_do_not_run_alike_are_not_compared() -> None:
    def start(side, order):
        return FakeArm(order), {"digest": "d", "key": KEY | {"torch": side}, "facts": {}}

    with pytest.raises(IncomparableError, match="torch 'base' and 'head'"):
        gate(plan(), {}, start=start).run()


def test_a_side_that_cannot_begin_is_nothing_measured() -> None:
    def start(_, order):
        return FakeArm(order), {"error": {"type": "WorkerDied", "message": "gone", "where": ""}}

    with pytest.raises(NothingMeasuredError, match="cannot begin: WorkerDied: gone"):
        gate(plan(), {}, start=start).run()


def test_everything_is_kept_and_every_process_closed() -> None:
    kept, arms = [], []
    made = gate(plan(launches=5, rounds=4), {}, keep=kept.append)
    start = made.start

    def watched(side, order):
        arm, greeting = start(side, order)
        arms.append(arm)
        return arm, greeting

    made.start = watched
    made.run()

    assert [line.number for line in kept if isinstance(line, Launch)] == [0, 1, 2, 3, 4]
    assert {(line.side, line.cell) for line in kept if isinstance(line, Facts)} == {
        (side, cell) for side in ("base", "head") for cell in ("steady", "slow")
    }
    assert len(arms) == 12
    assert all(arm.closed for arm in arms)


def test_a_time_limit_ends_it_early_but_not_below_five_launches() -> None:
    ticks = iter(range(10_000))
    made = gate(plan(time_limit_s=1), {}, clock=lambda: float(next(ticks)))
    made.run()

    assert len(made.launches[Stage.FIRST]) == 5


def test_ctrl_c_while_both_sides_count_ends_both_at_once() -> None:
    arms = []
    made = gate(plan(), {})
    start = made.start

    def waiting(side, order):
        arm, greeting = start(side, order)
        arms.append(arm)

        def ask(*_):
            if side == "base":
                raise KeyboardInterrupt
            while not arm.closed:  # as a process that has not answered yet
                pass
            return {"error": {"type": "WorkerDied", "message": "killed", "where": ""}}

        arm.ask = ask
        return arm, greeting

    made.start = waiting
    with pytest.raises(KeyboardInterrupt):
        made.run()

    assert [arm.closed for arm in arms] == [True, True]
