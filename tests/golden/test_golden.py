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


def learned(cell: str, level: str, *, steps: int, seed: int = 0, hidden: int = 64, **changes):
    """Train as a run does, for at most `steps`; return the level and what came of it."""
    task = dataclasses.replace(find_task(level), **changes)
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
def test_a_tanh_network_does_not_add(level) -> None:
    """Else the level would ask for no memory."""
    task, found = learned("rnn", level, steps=500)

    assert found.steps_to_solve is None
    assert abs(task.skill(found.test.metric)) < 0.15


def test_parity_learned_up_to_40_holds_up_to_500() -> None:
    _, found = learned("lstm", "parity/lengths-40", steps=3000)  # 900 and 1000 with two rates

    assert found.steps_to_solve is not None
    assert [rung.length for rung in found.ladder] == [41, 50, 75, 100, 200, 300, 400, 500]
    assert all(rung.skill > 0.98 for rung in found.ladder)


def test_parity_is_not_had_in_a_few_steps() -> None:
    task, found = learned("lstm", "parity/lengths-40", steps=200)

    assert found.steps_to_solve is None
    assert all(abs(rung.skill) < 0.2 for rung in found.ladder)
    assert abs(task.skill(found.test.metric)) < 0.5


def test_a_flip_flop_is_read_without_an_error_and_far_beyond_what_was_seen() -> None:
    _, found = learned("lstm", "flip_flop/length-64", steps=1600)  # 400 with one seed

    assert found.steps_to_solve is not None
    assert found.test.metric == 1.0
    assert found.test.exact_rate == 1.0
    assert all(rung.metric > 0.999 for rung in found.ladder)


def test_copying_is_between_nothing_and_solved_at_a_small_budget() -> None:
    task, found = learned("lstm", "copying/delay-10", steps=1000)  # 0.37 with one seed

    assert found.steps_to_solve is None
    assert 0.1 < task.skill(found.test.metric) < 0.9


def test_a_tanh_network_copies_nothing_over_a_hundred_blanks() -> None:
    task, found = learned("rnn", "copying/delay-100", steps=200)

    assert abs(task.skill(found.test.metric)) < 0.02
