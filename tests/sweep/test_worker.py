"""From a unit to a trial, and from a job to a measurement: in this process, on tiny levels."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from cellbench.catalog import find_task
from cellbench.measure.precision import set_precision
from cellbench.plugins import parse_cell
from cellbench.record import Status
from cellbench.sweep import worker
from cellbench.sweep.costs import operations_per_step, state_bytes
from cellbench.sweep.plan import Stack, make_plan
from cellbench.sweep.worker import run_measurement, run_stack, run_trial
from cellbench.unroll import Carrier, Way

CPU = torch.device("cpu")
TOYS = str(Path(__file__).parent.parent / "toy_cells.py")


def plan_of(cell: str, level: str = "copying/tiny", **changes):
    expression = f"{TOYS}:{cell}" if cell[0].isupper() else cell
    given = {"hidden": 16, "device": "cpu", "most_steps": 60} | changes
    return make_plan([parse_cell(expression)], [find_task(level)], [0], **given)


def trial_of(cell: str, **changes):
    return run_trial(plan_of(cell, **changes).units[0], CPU)


def measurement_of(cell: str, level: str = "copying/tiny"):
    return run_measurement(plan_of(cell, level).jobs[0], CPU, "env")


def test_a_trial_says_all_that_it_was() -> None:
    unit = plan_of("lstm", most_steps=400, hidden=32).units[0]
    found = run_trial(unit, CPU)

    assert found.unit_id == unit.unit_id
    assert (found.cell, found.level.id, found.seed) == ("lstm", "copying/tiny", 0)
    assert found.status is Status.OK
    assert found.error is None
    assert found.sequences_to_solve == found.steps_to_solve * 64
    assert found.skill == pytest.approx((found.test_metric - 0.25) / 0.75)
    assert found.level.trivial == 0.25
    assert found.curve[-1].step == found.steps


def test_regression_has_its_own_zero_and_no_exact_rate() -> None:
    found = trial_of("lstm", level="adding/length-10")

    assert found.skill == pytest.approx(1 - found.test_metric / (1 / 6))
    assert found.exact_rate is None


@pytest.mark.parametrize(
    ("cell", "status", "kind", "message"),
    [
        ("Raises", Status.CRASHED, "ZeroDivisionError", "one step too many"),
        ("WrongShape", Status.CRASHED, "CellShapeError", "[6, 64, 17]"),
        ("NotANumber", Status.DIVERGED, "diverged", "the training loss became nan"),
        ("RaisesModule", Status.CRASHED, "ZeroDivisionError", "never works"),
        ("ScalarModule", Status.CRASHED, "", ""),
        ("WrongShapeModule", Status.CRASHED, "", "hidden"),
        ("NotANumberModule", Status.DIVERGED, "diverged", "the training loss became nan"),
        ("NotANumberLayer", Status.DIVERGED, "diverged", "the training loss became nan"),
        ("OutOfMemory", Status.OOM, "OutOfMemoryError", "Tried to allocate 1 PiB"),
    ],
)
def test_a_failure_is_a_trial_that_says_why(cell, status, kind, message) -> None:
    found = trial_of(cell)

    assert found.status is status
    assert kind in found.error.type
    assert message in found.error.message
    assert "\n" not in found.error.message
    assert found.skill is None


def test_a_crash_is_placed_in_the_cells_own_file() -> None:
    line = next(
        n for n, text in enumerate(Path(TOYS).read_text().splitlines(), 1) if "too many" in text
    )

    assert trial_of("Raises").error.where == f"toy_cells.py:{line}"


def test_a_test_loss_that_is_no_number_is_divergence(monkeypatch) -> None:
    real = worker.train

    def spoiled(*given, **named):
        learned = real(*given, **named)
        learned.test = type(learned.test)(metric=0.5, loss=math.inf, exact_rate=0.0)
        return learned

    monkeypatch.setattr(worker, "train", spoiled)
    found = trial_of("lstm")

    assert found.status is Status.DIVERGED
    assert found.skill is None


def test_a_measurement_has_every_number() -> None:
    set_precision()
    found = measurement_of("lstm")

    assert found.status is Status.OK
    assert found.unrolled == "parallel"
    assert 0 <= found.parity_error < 1e-5
    assert found.parity_ok
    assert found.parameters.cell == 4 * 16 * (6 + 16) + 8 * 16
    assert found.parameters.model == found.parameters.cell + 16 * 5 + 5
    assert found.operations == 2 * 4 * 16 * (6 + 16)
    assert found.state_bytes == 2 * 16 * 4
    assert not found.state_grows
    assert found.train_step.batch == found.inference.batch == 64
    assert found.train_step.time == 6
    assert (found.streaming.batch, found.streaming.time) == (1, 1)
    assert found.memory.static_bytes > 4 * 4 * found.parameters.model
    assert found.memory.peak_allocated_bytes > found.memory.static_bytes


def test_a_state_that_grows_is_measured_at_the_end_and_told() -> None:
    tiny, longer = measurement_of("lstmn"), measurement_of("lstmn", "adding/length-10")

    assert tiny.state_grows
    assert longer.state_bytes > tiny.state_bytes


def test_a_cell_that_makes_weights_tells_which_part_does() -> None:
    found = measurement_of("hyperlstm(hyper_size=8, embedding_size=2)")
    x, h, hyper, z = 6, 16, 8, 2
    main = 4 * h * (x + h) + 4 * h + 10 * h

    assert found.parameters.cell - found.parameters.hyper == main
    assert found.parameters.hyper == (
        4 * hyper * (x + h + hyper) + 4 * hyper + 12 * hyper * z + 8 * z + 12 * h * z + 10 * hyper
    )


def test_a_cell_whose_parallel_form_is_another_cell_gets_no_speed() -> None:
    found = measurement_of("Disagrees")

    assert not found.parity_ok
    assert found.parity_error > 0.01
    assert found.train_step is found.inference is found.streaming is found.memory is None
    assert "not timed" in found.warnings[0]
    assert found.status is Status.OK


@pytest.mark.parametrize("way", list(Way))
def test_the_way_through_time_is_recorded_as_it_was(way) -> None:
    set_precision()
    job = plan_of("min_gru", carrier=Carrier(way)).jobs[0]
    found = run_measurement(job, CPU, "env")

    assert found.unrolled == ("parallel" if way is Way.AUTO else way)
    if way is not Way.COMPILED:  # it may be exact
        assert (found.parity_error == 0) == (way is Way.STEPWISE)
    assert found.settings.unroll == way


def test_a_checkpointed_trial_learns_the_same_with_less_memory() -> None:
    plans = [
        plan_of("gru", "adding/length-200", carrier=Carrier(Way.STEPWISE, checkpoint), most_steps=2)
        for checkpoint in (False, True)
    ]
    plain, less = (run_trial(plan.units[0], CPU) for plan in plans)
    measured, measured_less = (run_measurement(plan.jobs[0], CPU, "env") for plan in plans)

    assert plain.unit_id != less.unit_id
    assert less.test_loss == pytest.approx(plain.test_loss, rel=1e-5)
    assert measured_less.memory.peak_allocated_bytes < 0.4 * measured.memory.peak_allocated_bytes
    assert measured_less.parity_error < 1e-6


def test_a_cell_that_touches_the_precision_flags_is_told_on() -> None:
    found = measurement_of("TouchesPrecision")
    set_precision()
    torch.set_default_dtype(torch.float32)

    assert any("precision" in warning for warning in found.warnings)


def test_a_measurement_that_fails_is_a_row() -> None:
    found = measurement_of("Raises")

    assert found.status is Status.CRASHED
    assert found.error.type == "ZeroDivisionError"
    assert found.env == "env"


def test_sizes_are_of_one_sequence_whatever_the_batch() -> None:
    cell = parse_cell("gru").build(2, 3)
    x = torch.randn(5, 7, 2)

    assert operations_per_step(cell, x) == 2 * 3 * 3 * (2 + 3)
    assert state_bytes(cell, x) == 3 * 4


def test_a_trial_of_a_grid_is_trained_at_its_rate_alone_and_in_a_stack() -> None:
    """A rate at which it diverges says so; the level's own does not."""
    for seeds in ([0], [0, 1]):
        found = make_plan(
            [parse_cell(f"{TOYS}:Plain")], [find_task("copying/tiny")], seeds,
            hidden=16, device="cpu", most_steps=60, learning_rates=[1e-3, 1e38],
        )  # fmt: skip
        for job in found.trained:
            kept = []
            units = tuple(unit for unit in found.units if unit.job is job)
            run_stack(Stack(units), CPU, look=lambda *_: None, keep=kept.append)
            ended = {Status.OK} if job.settings.learning_rate < 1 else {Status.DIVERGED}

            assert {trial.status for trial in kept} == ended
            assert {trial.settings.learning_rate for trial in kept} == {job.settings.learning_rate}
            assert {trial.stacked for trial in kept} == {len(seeds)}
