"""Trainings that take milliseconds, in float64, so that whatever differs is seen."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch

from cellbench.catalog import find_task
from cellbench.generators.base import Generator
from cellbench.train.loop import train
from cellbench.train.model import SequenceModel
from cellbench.train.stacked import train_stack
from cellbench.unroll import Carrier, Way

STEPWISE = Carrier(Way.STEPWISE)


class Doubled(Generator):
    """Draws what another draws, in float64."""

    def __init__(self, inner: Generator) -> None:
        self.inner = inner

    reads = property(lambda self: self.inner.reads)
    answers = property(lambda self: self.inner.answers)

    def sample(self, stream, index):
        batch = self.inner.sample(stream, index)
        if not batch.inputs.is_floating_point():
            return batch
        return dataclasses.replace(
            batch, inputs=batch.inputs.double(), targets=batch.targets.double()
        )

    def trivial(self):
        return self.inner.trivial()

    def oracle(self, inputs):
        return self.inner.oracle(inputs)


def small(name: str, **changes):
    """Return a level with a budget of milliseconds, in float64."""
    task = find_task(name)
    budget = {"batch": 8, "validate_every": 6, "validation": 12, "test": 12} | changes
    return dataclasses.replace(
        task,
        generator=Doubled(task.generator),
        budget=dataclasses.replace(task.budget, **budget),
    )


TOKENS = small("copying/tiny")
VECTORS = small("adding/length-10")


def model_of(make, task, seed: int, carrier=STEPWISE) -> SequenceModel:
    torch.manual_seed(seed)
    generator = task.generator
    return SequenceModel(make, generator.reads, generator.answers, 7, carrier).double()


def alone(make, task, seed: int, *, steps: int = 14, clock=lambda: 0.0, **more):
    model = model_of(make, task, seed, more.pop("carrier", STEPWISE))
    return train(model, task, seed=seed, steps=steps, clock=clock, **more)


def together(make, task, seeds, *, steps: int = 14, clock=lambda: 0.0, **more):
    carrier = more.pop("carrier", STEPWISE)
    models = [model_of(make, task, seed, carrier) for seed in seeds]
    return dict(train_stack(models, task, seeds=seeds, steps=steps, clock=clock, **more))


def numbers(learned) -> list[float]:
    """Return all that was learned and is a number."""
    points = [(p.step, p.train_loss, p.metric) for p in learned.curve]
    scores = dataclasses.astuple(learned.test) if learned.test else ()
    return [math.nan if v is None else float(v) for v in itertools.chain(*points, scores)]


def assert_same(found, right) -> None:
    assert (found.status, found.reason) == (right.status, right.reason)
    assert (found.steps, found.steps_to_solve) == (right.steps, right.steps_to_solve)
    assert numbers(found) == pytest.approx(numbers(right), rel=1e-10, abs=1e-10, nan_ok=True)
