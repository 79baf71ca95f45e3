"""What is known to be learned, learned: thresholds with room, never an exact loss.

Under three minutes together on one thread, and each with what must not come of it: a plain tanh
network that stays where no memory gets it, a mark that is not reached in too few steps.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cellbench.catalog import find_task
from cellbench.cells import CELLS
from cellbench.train.loop import train
from cellbench.train.model import SequenceModel


def learned(cell: str, level: str, *, steps: int, seed: int = 0, hidden: int = 64, **budget):
    """Train as a run does, for at most `steps`; return what came of it."""
    task = find_task(level)
    task = dataclasses.replace(task, budget=dataclasses.replace(task.budget, **budget))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(seed)
        generator = task.generator
        model = SequenceModel(CELLS[cell], generator.reads, generator.answers, hidden)
        return task, train(model, task, seed=seed, steps=steps, clock=lambda: 0.0)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cell", "level", "steps"),
    [
        ("lstm", "adding/length-50", 2500),  # 850 and 1000 with two seeds
        ("gru", "adding/length-100", 1200),  # 400 with two seeds
    ],
)
def test_gates_add_over_a_long_lag(cell, level, steps) -> None:
    task, found = learned(cell, level, steps=steps)

    assert found.steps_to_solve is not None
    assert found.test.metric < 2 * task.solved


@pytest.mark.parametrize("level", ["adding/length-50", "adding/length-100"])
def test_a_tanh_network_does_not(level) -> None:
    """Else the level would ask for no memory."""
    task, found = learned("rnn", level, steps=600)

    assert found.steps_to_solve is None
    assert abs(task.skill(found.test.metric)) < 0.1
