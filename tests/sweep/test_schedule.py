"""What is started first, and how long it should take."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from records import measurement, timings, trial

from cellbench.catalog import find_task
from cellbench.plugins import parse_cell
from cellbench.record import Settings
from cellbench.sweep.estimate import Estimates, reckoned_step_s
from cellbench.sweep.plan import Plan, make_plan, measurement_id, remaining
from cellbench.sweep.schedule import in_order, make_schedule
from cellbench.sweep.stacks import make_stacks
from cellbench.sweep.workers import threads_each
from cellbench.unroll import Carrier, Way

SHORT, LONG = find_task("adding/length-10"), find_task("adding/length-200")


def plan(*cells: str, tasks=(SHORT,), seeds: int = 3, **changes) -> Plan:
    given = {"hidden": 16, "device": "cpu"} | changes
    return make_plan([parse_cell(c) for c in cells], tasks, range(seeds), **given)


def trial_of(unit, **changes):
    job = unit.job
    of = {"unit_id": unit.unit_id, "cell": job.spec.text, "cell_source": job.spec.source_digest}
    return replace(trial(), **of, level=job.level, settings=job.settings, **changes)


def measurement_of(job, step_s: float, env: str = "env"):
    of = {"cell": job.spec.text, "cell_source": job.spec.source_digest, "level": job.level}
    named = {"measurement_id": measurement_id(job, env), "settings": job.settings, "env": env}
    return replace(measurement(), **of, **named, train_step=timings(step_s))


def names(stacks) -> list[str]:
    return [f"{s.job.spec.text} {s.units[0].seed}" for s in stacks]


def test_one_of_every_cell_comes_first_then_the_longest_of_all() -> None:
    found = plan("lstm", "hyperlstm", "gru")
    stacks = make_stacks(found.units, most=1, device="cpu", workers=2)
    seconds = {"lstm": 1.0, "hyperlstm": 9.0, "gru": 3.0}
    ordered = in_order(stacks, lambda stack: seconds[stack.job.spec.text])

    assert names(ordered) == [
        "hyperlstm 0", "gru 0", "lstm 0",
        "hyperlstm 1", "hyperlstm 2", "gru 1", "gru 2", "lstm 1", "lstm 2",
    ]  # fmt: skip


def test_a_cell_that_has_trials_from_before_waits_for_its_turn() -> None:
    found = plan("lstm", "hyperlstm")
    stacks = make_stacks(found.units, most=1, device="cpu", workers=2)
    begun = {found.jobs[1].key}
    ordered = in_order(stacks, lambda s: 1.0 + (s.job.spec.text == "hyperlstm"), begun)

    assert names(ordered)[0] == "lstm 0"


def test_equally_long_stacks_stay_as_they_came() -> None:
    stacks = make_stacks(plan("lstm", "gru").units, most=1, device="cpu", workers=2)

    assert names(in_order(stacks, lambda _: 1.0))[:2] == ["lstm 0", "gru 0"]


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        ({"tasks": [LONG]}, {"tasks": [SHORT]}),
        ({"cell": "hyperlstm"}, {"cell": "lstm"}),
        ({"hidden": 256}, {"hidden": 64}),
        ({"carrier": Carrier(Way.STEPWISE)}, {}),
    ],
)
def test_more_to_do_is_reckoned_to_take_longer(longer, shorter) -> None:
    long_s, short_s = (
        reckoned_step_s(plan(given.pop("cell", "lstm"), **given).jobs[0])
        for given in (dict(longer), dict(shorter))
    )

    assert long_s > short_s


def test_trials_tell_better_than_a_measurement_and_that_better_than_reckoning() -> None:
    found = plan("lstm", most_steps=100)
    (job,) = found.jobs
    measured = measurement_of(job, 0.25)
    tried = [trial_of(found.units[n], steps=50, train_s=s) for n, s in enumerate([5, 10, 100])]

    assert Estimates([]).step_s(job) == reckoned_step_s(job)
    assert Estimates([measured]).step_s(job) == 0.25
    assert Estimates([measured, *tried]).step_s(job) == 0.2, "the median: one may have had to share"


def test_a_longer_run_of_the_same_job_is_judged_by_the_shorter() -> None:
    short_run = plan("lstm", most_steps=100)
    tried = trial_of(short_run.units[0], steps=100, train_s=10.0)
    (job,) = plan("lstm", most_steps=500).jobs
    wider = plan("lstm", hidden=32).jobs[0]

    assert Estimates([tried]).step_s(job) == 0.1
    assert Estimates([tried]).step_s(wider) == reckoned_step_s(wider)


def test_a_trial_that_came_nowhere_tells_nothing() -> None:
    found = plan("lstm")
    tried = trial_of(found.units[0], steps=0, train_s=0.0)

    assert Estimates([tried]).step_s(found.jobs[0]) == reckoned_step_s(found.jobs[0])


def test_a_stack_is_estimated_by_all_its_units_and_steps() -> None:
    found = plan("hyperlstm", most_steps=100, seeds=4)
    (stack,) = make_stacks(found.units, most=4, device="cpu", workers=1)
    estimates = Estimates([measurement_of(stack.job, 0.5)])

    assert estimates.training_s(stack) == 4 * 100 * 0.5


def schedule_of(found: Plan, lines=(), *, workers: int = 2, most=None, fresh: bool = False):
    left = remaining(found, lines, fresh=fresh)
    return make_schedule(found, left, lines, device="cpu", workers=workers, most=most)


def test_a_schedule_holds_what_is_missing_and_no_more_workers_than_work() -> None:
    found = plan("lstm", "gru", seeds=2)
    lines = [trial_of(unit) for unit in found.units[:3]]

    assert len(schedule_of(found, lines, workers=8).stacks) == 1
    assert schedule_of(found, lines, workers=8).workers == 1
    assert schedule_of(found, lines, workers=8, fresh=True).workers == 4
    assert schedule_of(found, [trial_of(u) for u in found.units]).workers == 1


def test_what_was_measured_here_or_elsewhere_is_not_reckoned_with() -> None:
    found = plan("lstm", "gru")
    lines = [measurement_of(found.jobs[0], 0.1, env="elsewhere")]

    assert schedule_of(found, lines).jobs == (found.jobs[1],)
    assert schedule_of(found, lines, fresh=True).jobs == found.jobs


def test_equal_commands_on_equal_journals_make_equal_schedules() -> None:
    found = plan("lstm", "hyperlstm", tasks=[SHORT, LONG])
    lines = [trial_of(found.units[0])]

    assert schedule_of(found, lines) == schedule_of(found, lines)


def test_small_steps_get_one_thread_and_big_ones_those_that_are_idle(monkeypatch) -> None:
    monkeypatch.setattr("cellbench.sweep.workers.usable_cpus", lambda: 8)
    small, big = plan("lstm", hidden=64).jobs, plan("lstm", hidden=1024).jobs

    assert threads_each(small, "cpu", workers=2) == 1
    assert threads_each([*small, *big], "cpu", workers=2) == 4
    assert threads_each(big, "cpu", workers=16) == 1
    assert threads_each(big, "cuda:0", workers=2) == 1


def test_every_setting_of_a_job_decides_how_long_a_step_takes_but_how_many_and_how_large() -> None:
    """A new setting is a new duration; whoever adds one need not think of estimates."""
    found = plan("lstm")
    (job,) = found.jobs
    tried = trial_of(found.units[0], steps=100, train_s=10.0)
    changed = {"hidden": 99, "device": "cuda", "dtype": "float64", "unroll": "stepwise"}
    changed |= {"checkpoint": True, "depth": 2, "block": "residual", "dropout": 0.1}
    changed |= {"bidirectional": True, "match": "params", "budget": 9}

    assert set(changed) | {"steps", "learning_rate"} == set(Settings.__struct_fields__)
    for name, value in changed.items():
        other = replace(tried, settings=replace(job.settings, **{name: value}))

        assert Estimates([other]).step_s(job) == reckoned_step_s(job), name
    faster = replace(tried, settings=replace(job.settings, learning_rate=0.1))

    assert Estimates([faster]).step_s(job) == 0.1


def test_a_grid_is_estimated_at_every_rate_and_begun_at_none_that_is_new() -> None:
    found = plan("lstm", most_steps=100, seeds=2, learning_rates=(1e-3, 1e-2))
    lines = [measurement_of(found.jobs[0], 0.25), trial_of(found.units[0], steps=0)]
    schedule = schedule_of(found, lines, most=1)
    rates = [stack.job.settings.learning_rate for stack in schedule.stacks]

    assert set(schedule.step_s.values()) == {0.25}
    assert set(schedule.step_s) == {job.key for job in found.trained}
    assert rates[0] == 1e-2, "the other has a trial from before"
    assert schedule.jobs == (), "it was measured"
