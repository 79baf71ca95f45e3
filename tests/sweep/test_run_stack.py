"""From a stack to trials, in this process; what trains a stack is played."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cellbench.catalog import find_task
from cellbench.plugins import parse_cell
from cellbench.record import Status
from cellbench.sweep import worker
from cellbench.sweep.plan import Stack, make_plan
from cellbench.sweep.worker import run_stack
from cellbench.train.loop import train
from cellbench.train.stacked import StackingError

CPU = torch.device("cpu")


def stack(seeds: int, **changes) -> Stack:
    given = {"hidden": 8, "device": "cpu", "most_steps": 20} | changes
    plan = make_plan([parse_cell("lstm")], [find_task("copying/tiny")], range(seeds), **given)
    return Stack(plan.units)


@pytest.fixture
def asked(monkeypatch):
    """Play one seed after the other, the last first; return what was asked for."""
    asked = {}

    def one_by_one(models, task, *, seeds, look, clock, **given):
        asked.update(given, seeds=seeds, models=models)
        for model, seed in reversed(list(zip(models, seeds, strict=True))):
            learned = train(
                model, task, seed=seed, clock=clock, look=lambda p, s=seed: look(s, p), **given
            )
            how = dataclasses.replace(learned.how, stacked=len(seeds), fallback="x")
            yield seed, dataclasses.replace(learned, how=how)

    monkeypatch.setattr(worker, "train_stack", one_by_one)
    return asked


def trials_of(wanted: Stack) -> list:
    kept = []
    run_stack(wanted, CPU, look=lambda *_: None, keep=kept.append)
    return kept


@pytest.mark.usefixtures("asked")
def test_each_seed_is_handed_over_the_moment_it_ends() -> None:
    told = []
    run_stack(
        stack(3),
        CPU,
        look=lambda seed, point: told.append((seed, point.step)),
        keep=lambda trial: told.append(trial.seed),
    )

    assert told == [(2, 20), 2, (1, 20), 1, (0, 20), 0]


def test_a_stack_is_trained_as_its_units_ask_for(asked) -> None:
    trials = trials_of(stack(2, time_limit_s=50.0))

    assert (asked["seeds"], asked["steps"], asked["time_limit_s"]) == ([0, 1], 20, 50.0)
    assert {trial.stacked for trial in trials} == {2}
    assert {trial.fallback for trial in trials} == {"x"}
    assert {trial.time_limit_s for trial in trials} == {50.0}


@pytest.mark.usefixtures("asked")
def test_a_seed_starts_from_the_weights_that_it_would_have_alone() -> None:
    together = {trial.unit_id: trial.test_loss for trial in trials_of(stack(2))}
    alone = [trials_of(Stack((unit,)))[0] for unit in stack(2).units]

    assert together == {trial.unit_id: trial.test_loss for trial in alone}
    assert {trial.stacked for trial in alone} == {1}


def test_one_alone_is_told_why_it_is_besides_its_own_reasons(monkeypatch) -> None:
    def compiles_not(*given, **named):
        learned = train(*given, **named)
        how = dataclasses.replace(learned.how, fallback="not compiled")
        return dataclasses.replace(learned, how=how)

    monkeypatch.setattr(worker, "train", compiles_not)
    (plain,) = trials_of(stack(1))
    (told,) = trials_of(dataclasses.replace(stack(1), fallback="not stacked"))

    assert plain.fallback == "not compiled"
    assert told.fallback == "not stacked; not compiled"


def test_what_goes_wrong_with_several_is_raised_and_with_one_a_trial(monkeypatch) -> None:
    def cannot(*_, **__):
        raise StackingError("it branches")

    monkeypatch.setattr(worker, "train_stack", cannot)
    monkeypatch.setattr(worker, "train", cannot)

    with pytest.raises(StackingError, match="it branches"):
        trials_of(stack(2))
    assert trials_of(stack(1))[0].status is Status.CRASHED


def test_the_way_is_in_the_trial(monkeypatch) -> None:
    def played(*given, **named):
        learned = train(*given, **named)
        how = dataclasses.replace(
            learned.how, unrolled="compiled", captured=True, compile_s=3.0, parity_error=1e-7
        )
        return dataclasses.replace(learned, how=how)

    monkeypatch.setattr(worker, "train", played)
    (trial,) = trials_of(stack(1))

    assert (trial.unrolled, trial.captured, trial.compile_s) == ("compiled", True, 3.0)
    assert trial.parity_error == 1e-7
