"""Worker processes: real ones, doing tiny things."""

from __future__ import annotations

import dataclasses
import multiprocessing
import sys
from pathlib import Path

import pytest

from cellbench.catalog import find_task
from cellbench.plugins import parse_cell
from cellbench.record import Environment, Measurement, Status, Trial
from cellbench.sweep import local, process
from cellbench.sweep.events import Finished, Looked, Started
from cellbench.sweep.local import measure_jobs, train_stacks
from cellbench.sweep.machine import Machine
from cellbench.sweep.plan import Stack, make_plan
from cellbench.unroll import Carrier, Way

TOYS = str(Path(__file__).parent.parent / "toy_cells.py")
TINY = find_task("copying/tiny")


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine("cpu", 1, tmp_path / "logs")


def plan_of(*cells: str, seeds=(0,), **changes):
    expressions = [f"{TOYS}:{cell}" if cell[0].isupper() else cell for cell in cells]
    given = {"hidden": 8, "device": "cpu", "most_steps": 100} | changes
    return make_plan([parse_cell(e) for e in expressions], [TINY], list(seeds), **given)


def train_units(units, machine, **given):
    """Train each unit alone."""
    return train_stacks([Stack((unit,)) for unit in units], machine, **given)


def test_a_cell_that_kills_its_process_is_a_row_and_the_others_go_on(machine) -> None:
    plan = plan_of("Dies", "lstm", "Plain")
    kept = []
    events = list(train_units(plan.units, machine, jobs=1, keep=kept.append))
    ends = {
        e.work.job.spec.name.rpartition(":")[2]: e.record for e in events if isinstance(e, Finished)
    }

    assert ends["Dies"].status is Status.CRASHED
    assert "exit code 9" in ends["Dies"].error.message
    assert "logs/worker-0.log" in ends["Dies"].error.message
    assert ends["lstm"].status is ends["Plain"].status is Status.OK
    assert [r for r in kept if isinstance(r, Trial)] == list(ends.values())


def test_trials_run_side_by_side_and_are_told_of_as_they_go(machine) -> None:
    plan = plan_of("lstm", seeds=(0, 1))
    kept = []
    events = list(train_units(plan.units, machine, jobs=2, keep=kept.append))
    kinds = [type(event) for event in events]

    assert kinds[:2] == [Started, Started]
    assert kinds.count(Looked) == 4
    assert kinds.count(Finished) == 2
    environments = [line for line in kept if isinstance(line, Environment)]
    assert {trial.env for trial in kept if isinstance(trial, Trial)} == {environments[0].digest}


def test_the_number_of_workers_changes_no_result(machine) -> None:
    plan = plan_of("lstm", "gru", seeds=(0, 1))

    def results(jobs: int):
        events = train_units(plan.units, machine, jobs=jobs, keep=lambda _: None)
        records = [event.record for event in events if isinstance(event, Finished)]
        return {r.unit_id: (r.test_metric, r.test_loss, r.steps) for r in records}

    assert results(1) == results(2)


def test_a_source_that_changed_under_a_run_is_a_row_that_says_so(machine, tmp_path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(Path(TOYS).read_text())
    plan = make_plan([parse_cell(f"{file}:Plain")], [TINY], [0], hidden=8, device="cpu")
    file.write_text(Path(TOYS).read_text() + "\n")
    events = list(train_units(plan.units, machine, jobs=1, keep=lambda _: None))

    assert events[-1].record.status is Status.CRASHED
    assert "has changed since" in events[-1].record.error.message


def test_what_one_cell_does_to_torch_does_not_reach_the_next(machine) -> None:
    plan = plan_of("TouchesPrecision", "NeedsItsPeace")
    events = train_units(plan.units, machine, jobs=1, keep=lambda _: None)
    statuses = [event.record.status for event in events if isinstance(event, Finished)]

    assert statuses[1] is Status.OK


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what is asked for")
def test_a_cell_that_wants_too_much_memory_is_a_row(machine) -> None:
    small = dataclasses.replace(machine, memory_bytes=2 << 30)
    plan = plan_of("Hoards", "lstm")
    events = train_units(plan.units, small, jobs=1, keep=lambda _: None)
    hoards, lstm = (event.record for event in events if isinstance(event, Finished))

    assert hoards.status is Status.OOM
    assert "can't allocate memory" in hoards.error.message
    assert lstm.status is Status.OK, "the same worker goes on"


def test_a_step_that_hangs_is_ended(machine, monkeypatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 1.0)
    monkeypatch.setattr(local, "POLL_S", 0.1)
    (unit,) = plan_of("Hangs", time_limit_s=0.1, carrier=Carrier(Way.STEPWISE)).units
    events = list(train_units([unit], machine, jobs=1, keep=lambda _: None))

    assert events[-1].record.status is Status.TIMEOUT
    assert events[-1].record.error.type == "Hung"


def test_ending_early_keeps_what_has_arrived_and_leaves_no_process(machine) -> None:
    plan = plan_of("lstm", "Slow", seeds=(0,))
    kept = []
    events = train_units(plan.units, machine, jobs=2, keep=kept.append)
    while not any(isinstance(line, Trial) for line in kept):
        next(events)
    events.close()

    assert [line.cell for line in kept if isinstance(line, Trial)] == ["lstm"]
    assert multiprocessing.active_children() == []


def test_measuring_is_one_after_another_and_skips_what_is_done(machine) -> None:
    plan = plan_of("lstm", "Dies", "gru")
    kept = []
    asked = []

    def is_done(job, env) -> bool:
        asked.append(env)
        return job.spec.text == "gru"

    events = list(measure_jobs(plan.jobs, machine, is_done=is_done, keep=kept.append))
    found = [line for line in kept if isinstance(line, Measurement)]

    assert [type(event) for event in events] == [Started, Finished, Started, Finished]
    assert [m.status for m in found] == [Status.OK, Status.CRASHED]
    assert found[0].env == found[1].env == asked[0] == asked[2]
    assert found[0].env in {line.digest for line in kept if isinstance(line, Environment)}
    assert found[0].train_step.blocks_s
