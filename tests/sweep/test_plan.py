"""From names to units, and which of them are missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace
from records import trial

from cellbench.catalog import find_task
from cellbench.plugins import parse_cell
from cellbench.record import Measurement, Status, Trial
from cellbench.store.folder import read_lines
from cellbench.sweep.plan import Job, Unit, make_plan, measurement_id, missing_units
from cellbench.train.baselines import parse_subject

TOYS = str(Path(__file__).parent.parent / "toy_cells.py")
TINY = find_task("copying/tiny")


def plan(cells=("lstm", "gru"), tasks=(TINY,), seeds=(0, 1), **changes):
    given = {"hidden": 16, "device": "cpu"} | changes
    return make_plan([parse_cell(cell) for cell in cells], tasks, seeds, **given)


def of(unit, **changes):
    """Return a trial of `unit`."""
    return replace(trial(), unit_id=unit.unit_id, **changes)


def test_a_plan_is_every_cell_on_every_level_with_every_seed() -> None:
    found = plan(tasks=(TINY, find_task("adding/length-10")))
    names = [(u.job.spec.text, u.job.task.id, u.seed) for u in found.units]

    assert len(set(names)) == len(names) == 8
    assert len({unit.unit_id for unit in found.units}) == 8
    assert len(found.jobs) == 4
    assert {seed for _, _, seed in names[:4]} == {0}, "a run cut short has something of each"


def test_a_unit_is_named_by_what_decides_its_result() -> None:
    (unit,) = plan(cells=["lstm"], seeds=[0]).units
    same = plan(cells=["lstm"], seeds=[0], time_limit_s=9.0).units[0]
    harder = dataclasses.replace(TINY, digest="other")
    others = [
        plan(cells=["gru"], seeds=[0]),
        plan(cells=["lstm(forget_bias=1.0)"], seeds=[0]),
        plan(cells=["lstm"], seeds=[1]),
        plan(cells=["lstm"], seeds=[0], hidden=17),
        plan(cells=["lstm"], seeds=[0], device="cuda"),
        plan(cells=["lstm"], seeds=[0], most_steps=10),
        plan(cells=["lstm"], seeds=[0], tasks=[harder]),
        plan(cells=["lstm"], seeds=[0], learning_rates=[TINY.budget.learning_rate, 1.0]),
    ]
    ids = {other.units[0].unit_id for other in others}

    assert same.unit_id == unit.unit_id
    assert unit.unit_id not in ids
    assert len(ids) == len(others)


def test_a_cell_whose_source_changed_is_another_unit(tmp_path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(Path(TOYS).read_text())
    before = plan(cells=[f"{file}:Plain"]).units[0].unit_id
    file.write_text(Path(TOYS).read_text() + "\n# changed\n")

    assert plan(cells=[f"{file}:Plain"]).units[0].unit_id != before


@pytest.mark.parametrize(("cap", "steps"), [(None, 400), (10, 10), (9999, 400)])
def test_steps_are_a_cap_on_the_budget(cap, steps) -> None:
    assert plan(most_steps=cap).jobs[0].settings.steps == steps


def test_what_is_done_is_not_missing_and_a_failure_is_done() -> None:
    found = plan()
    lines = [of(found.units[0]), of(found.units[2], status=Status.CRASHED)]

    assert missing_units(found, lines) == [found.units[1], found.units[3]]


@pytest.mark.parametrize(
    ("limit_s", "missing"), [(10.0, False), (5.0, False), (20.0, True), (None, True)]
)
def test_more_time_gives_a_trial_that_ran_out_of_it_another_chance(limit_s, missing) -> None:
    found = plan(cells=["lstm"], seeds=[0], time_limit_s=limit_s)
    lines = [of(found.units[0], status=Status.TIMEOUT, time_limit_s=10.0)]

    assert bool(missing_units(found, lines)) is missing


def test_a_measurement_belongs_to_one_environment() -> None:
    job = plan().jobs[0]

    assert measurement_id(job, "a") != measurement_id(job, "b")


RATES = (1e-3, 1e-2)


def test_a_grid_is_every_cell_at_every_rate_and_one_measurement() -> None:
    found = plan(learning_rates=RATES)
    names = [(u.seed, u.job.settings.learning_rate, u.job.spec.text) for u in found.units]

    assert names[:5] == [
        (0, 1e-3, "lstm"), (0, 1e-3, "gru"), (0, 1e-2, "lstm"), (0, 1e-2, "gru"), (1, 1e-3, "lstm"),
    ]  # fmt: skip
    assert len({unit.unit_id for unit in found.units}) == len(names) == 8
    assert found.jobs == plan().jobs, "what they cost does not depend on the rate"
    assert [(j.spec.text, j.settings.learning_rate) for j in found.trained] == [
        ("lstm", 1e-3), ("lstm", 1e-2), ("gru", 1e-3), ("gru", 1e-2),
    ]  # fmt: skip


def test_a_measurement_is_of_all_rates() -> None:
    found = plan(cells=["lstm"], learning_rates=RATES)

    assert {measurement_id(job, "env") for job in found.trained} == {
        measurement_id(plan(cells=["lstm"]).jobs[0], "env")
    }
    assert {job.costed for job in found.trained} == set(found.jobs)


def test_a_baseline_takes_no_step_and_is_in_a_grid_once() -> None:
    given = {"hidden": 16, "device": "cpu", "learning_rates": RATES}
    subjects = [parse_cell("lstm"), parse_subject("position")]
    found = make_plan(subjects, [TINY], [0], **given)

    assert [(u.job.spec.text, u.job.settings.learning_rate) for u in found.units] == [
        ("position", 0.0), ("lstm", 1e-3), ("lstm", 1e-2),
    ]  # fmt: skip
    assert [job.spec.text for job in found.trained] == ["lstm", "lstm", "position"]


def test_only_the_rates_that_are_new_are_missing() -> None:
    before = plan(learning_rates=RATES)
    found = plan(learning_rates=(1e-4, *RATES))
    missing = missing_units(found, [of(unit) for unit in before.units])

    assert {unit.job.settings.learning_rate for unit in missing} == {1e-4}
    assert len(missing) == 4


@pytest.mark.parametrize("journal", ["first-light", "every-cell", "classic"])
def test_units_and_measurements_of_journals_keep_their_ids(journal) -> None:
    """Recomputed from what each record says of itself, by the rules of today."""
    lines = read_lines(Path(__file__).parents[2] / "results" / journal)
    lstm, checked = parse_cell("lstm"), 0
    for line in lines:
        if not isinstance(line, Trial | Measurement):
            continue
        spec = dataclasses.replace(lstm, text=line.cell, source_digest=line.cell_source)
        job = Job(spec, dataclasses.replace(TINY, digest=line.level.digest), line.settings)
        if isinstance(line, Trial):
            assert Unit(job, line.seed).unit_id == line.unit_id
        else:
            assert measurement_id(job, line.env) == line.measurement_id
        checked += 1

    assert checked > 30
