"""How long a run will still take: a function of what was planned, what came, and when."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from records import measurement, trial

from cellbench.catalog import find_task
from cellbench.plugins import parse_cell
from cellbench.record import Point, Status
from cellbench.sweep.events import Finished, Looked, Returned, Started
from cellbench.sweep.plan import Stack, make_plan
from cellbench.sweep.schedule import Schedule
from cellbench.sweep.time_left import Outlook, TimeLeft

STEPS = 100


def schedule(
    *cells: str, seeds: int = 1, stacked: int = 1, workers: int = 1, measure=False, **changes
) -> Schedule:
    """Return a schedule whose steps should take 0.1 s of `lstm`, and 0.2 s of others."""
    specs, task = [parse_cell(cell) for cell in cells], find_task("copying/tiny")
    given = {"hidden": 8, "device": "cpu", "most_steps": STEPS} | changes
    plan = make_plan(specs, [task], range(seeds), **given)
    stacks = [
        Stack(tuple(u for u in plan.units if u.job is job)[n : n + stacked])
        for n in range(0, seeds, stacked)
        for job in plan.jobs
    ]
    step_s = {job.key: 0.1 if job.spec.text == "lstm" else 0.2 for job in plan.jobs}
    measuring_s = dict.fromkeys(step_s, 10.0)
    return Schedule(tuple(stacks), plan.jobs if measure else (), workers, step_s, measuring_s)


def looked(unit, step: int, elapsed_s: float) -> Looked:
    return Looked(unit, Point(step=step, train_loss=1.0, metric=0.5, elapsed_s=elapsed_s))


def ended(unit, steps: int, train_s: float, status: Status = Status.OK) -> Finished:
    made = replace(trial(), unit_id=unit.unit_id, steps=steps, train_s=train_s, status=status)
    return Finished(unit, made)


def left(plan: Schedule, *heard, now_s: float) -> TimeLeft | None:
    outlook = Outlook(plan)
    for event, at_s in heard:
        outlook.hear(event, at_s)
    return outlook.left(now_s)


def test_nothing_is_told_before_anything_was_seen() -> None:
    plan = schedule("lstm")

    assert left(plan, now_s=0.0) is None
    assert left(plan, (Started(plan.stacks[0]), 0.0), now_s=5.0) is None


def test_a_trial_that_is_on_its_way_takes_at_most_its_other_steps_at_its_own_pace() -> None:
    plan = schedule("lstm")
    (stack,) = plan.stacks
    heard = [(Started(stack), 0.0), (looked(stack.units[0], 25, 50.0), 55.0)]

    assert left(plan, *heard, now_s=55.0) == TimeLeft(high_s=150.0)
    assert left(plan, *heard, now_s=65.0) == TimeLeft(high_s=140.0), "it counts down between looks"
    assert left(plan, *heard, now_s=999.0) == TimeLeft(high_s=0.0)


def test_those_to_come_are_estimated_and_corrected_by_what_was_seen() -> None:
    plan = schedule("lstm", "gru")
    lstm, gru = plan.stacks
    heard = [(Started(lstm), 0.0), (looked(lstm.units[0], 50, 10.0), 10.0)]

    assert gru.job.key in plan.step_s
    found = left(plan, *heard, now_s=10.0)

    assert found.high_s == pytest.approx(10.0 + 2 * 20.0), "twice as slow as estimated: both"


def test_workers_share_what_is_left() -> None:
    heard_of = {}
    for workers in (1, 2, 4):
        plan = schedule("lstm", seeds=4, workers=workers)
        first = plan.stacks[0]
        heard = [(Started(first), 0.0), (looked(first.units[0], 50, 5.0), 5.0)]
        heard_of[workers] = left(plan, *heard, now_s=5.0).high_s

    assert heard_of == pytest.approx({1: 35.0, 2: 20.0, 4: 10.0})


def test_once_trials_have_ended_early_there_is_a_lower_end_too() -> None:
    plan = schedule("lstm", seeds=3)
    first, second, _ = plan.stacks
    heard = [
        (Started(first), 0.0), (looked(first.units[0], 20, 2.0), 2.0),
        (ended(first.units[0], 20, 2.0), 2.0), (Started(second), 2.0),
    ]  # fmt: skip
    found = left(plan, *heard, now_s=3.0)

    assert found.high_s == pytest.approx(2 * 10.0 - 1.0)
    assert found.low_s == pytest.approx(2 * 2.0 - 1.0)


def test_how_early_a_cell_stops_is_its_own_affair_where_that_is_known() -> None:
    plan = schedule("lstm", "gru", seeds=2)
    lstm, gru, lstm_again, gru_again = plan.stacks
    heard = [
        (Started(lstm), 0.0), (ended(lstm.units[0], 10, 1.0), 1.0),
        (Started(gru), 1.0), (ended(gru.units[0], 100, 20.0), 21.0),
        (Started(lstm_again), 21.0),
    ]  # fmt: skip
    found = left(plan, *heard, now_s=21.0)

    assert found.low_s == pytest.approx(1.0 + 20.0)
    assert found.high_s == pytest.approx(10.0 + 20.0)
    assert gru_again.job is gru.job


def test_a_stack_takes_what_its_units_take_together() -> None:
    plan = schedule("lstm", seeds=4, stacked=4)
    (stack,) = plan.stacks
    one, two, *_ = stack.units
    heard = [
        (Started(stack), 0.0),
        *[(looked(unit, 50, 2.0), 8.0) for unit in stack.units],
        (ended(one, 50, 2.0), 8.0), (ended(two, 50, 2.0), 8.0),
    ]  # fmt: skip
    found = left(plan, *heard, now_s=8.0)

    assert found.high_s == pytest.approx(2 * 50 * 0.04)
    assert found.low_s == pytest.approx(0.0)


def test_what_goes_back_to_the_queue_is_still_to_be_done() -> None:
    plan = schedule("lstm", "gru", seeds=2, stacked=2)
    first, _ = plan.stacks
    back = Returned(first, tuple(Stack((unit,)) for unit in first.units), "why")
    before = [(Started(first), 0.0), (looked(first.units[0], 50, 5.0), 5.0)]
    whole_s = left(plan, *before, now_s=5.0).high_s
    again = [*before, (back, 5.0)]

    assert left(plan, *again, now_s=5.0).high_s == pytest.approx(whole_s + 5.0)
    more = [*again, (Started(back.instead[0]), 5.0), (ended(first.units[0], 100, 10.0), 15.0)]

    assert left(plan, *more, now_s=15.0).high_s == pytest.approx(10.0 + 40.0)


def test_what_a_stack_takes_besides_training_is_expected_of_the_next_as_well() -> None:
    plan = schedule("lstm", seeds=2)
    first, _ = plan.stacks
    heard = [(Started(first), 0.0), (ended(first.units[0], 100, 10.0), 14.0)]

    assert left(plan, *heard, now_s=14.0) == TimeLeft(14.0, 14.0)


def test_a_crash_says_nothing_of_how_early_the_others_stop() -> None:
    plan = schedule("lstm", "gru")
    lstm, gru = plan.stacks
    heard = [
        (Started(lstm), 0.0), (ended(lstm.units[0], 0, 0.0, Status.CRASHED), 1.0),
        (Started(gru), 1.0), (looked(gru.units[0], 50, 10.0), 11.0),
    ]  # fmt: skip

    assert left(plan, *heard, now_s=11.0) == TimeLeft(high_s=10.0)


def test_a_time_limit_ends_what_would_take_longer() -> None:
    plan = schedule("lstm", seeds=2, time_limit_s=6.0)
    first, _ = plan.stacks
    heard = [(Started(first), 0.0), (looked(first.units[0], 50, 5.0), 5.0)]

    assert left(plan, *heard, now_s=5.0).high_s == pytest.approx(1.0 + 6.0)


def test_measuring_comes_after_and_is_corrected_by_itself() -> None:
    plan = schedule("lstm", "gru", "rnn", measure=True)
    trained = []
    for n, stack in enumerate(plan.stacks):
        trained += [(Started(stack), n), (ended(stack.units[0], 100, 1.0), n + 1.0)]
    lstm, gru, _ = plan.jobs

    assert left(plan, *trained, now_s=3.0) == TimeLeft(30.0, 30.0)
    begun = [*trained, (Started(lstm), 3.0)]
    assert left(plan, *begun, now_s=7.0) == TimeLeft(26.0, 26.0)
    done = [*begun, (Finished(lstm, measurement()), 8.0)]
    assert left(plan, *done, now_s=8.0) == TimeLeft(10.0, 10.0), "half as long as estimated"
    again = [*done, (Started(gru), 8.0), (Finished(gru, measurement()), 13.0)]
    assert left(plan, *again, now_s=13.0) == TimeLeft(5.0, 5.0)


def test_the_measuring_pass_is_in_what_is_told_while_trials_run() -> None:
    plan = schedule("lstm", measure=True)
    (stack,) = plan.stacks
    heard = [(Started(stack), 0.0), (looked(stack.units[0], 50, 5.0), 5.0)]

    assert left(plan, *heard, now_s=5.0).high_s == pytest.approx(5.0 + 10.0)


def test_what_had_been_measured_before_is_passed_over() -> None:
    plan = schedule("lstm", "gru", "rnn", measure=True)
    only_measuring = Schedule((), plan.jobs, 1, plan.step_s, plan.measuring_s)

    assert left(only_measuring, (Started(plan.jobs[2]), 0.0), now_s=4.0) == TimeLeft(6.0, 6.0)


def test_at_the_end_nothing_is_left() -> None:
    plan = schedule("lstm", measure=True)
    (stack,), (job,) = plan.stacks, plan.jobs
    heard = [
        (Started(stack), 0.0), (ended(stack.units[0], 100, 10.0), 10.0),
        (Started(job), 10.0), (Finished(job, measurement()), 12.0),
    ]  # fmt: skip

    assert left(plan, *heard, now_s=12.0) == TimeLeft(0.0, 0.0)
