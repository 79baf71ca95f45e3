"""NARMA-10: the recursion as published, in whole numbers, and bounded."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from cellbench.errors import OptionError
from cellbench.generators.base import Vectors
from cellbench.generators.narma import SETTLED, Narma, _states
from cellbench.generators.stream import Stream


def make(**settings):
    return Narma(**{"length": 40, "washout": 60} | settings)


def drawn(generator, sequences):
    return generator.sample(Stream(0, "train"), torch.arange(sequences))


def test_the_first_answers_worked_out_by_hand() -> None:
    """From zero: .1; then .3 * .1 + .05 * .1 * .1 + .1 = .1305. Inputs count from the tenth on."""
    answer = make(length=3, washout=0).oracle(torch.full((3, 1, 1), 0.25)).flatten() / 9.166
    third = 0.3 * 0.1305 + 0.05 * 0.1305 * (0.1 + 0.1305) + 0.1

    assert (answer + 398 / 1024).tolist() == pytest.approx([0.1, 0.1305, third], abs=1e-6)


def test_the_recursion_is_that_of_the_source() -> None:
    """Against exact fractions; whole numbers of 2**-24 are cut off at each step."""
    batch = drawn(make(length=30, washout=0), 5)

    for column in range(5):
        inputs = [Fraction(value) for value in batch.inputs[:, column, 0].tolist()]
        past = [0.0] * 10
        for step, now in enumerate(inputs):
            then = inputs[step - 9] if step >= 9 else 0
            own = 0.3 * past[-1] + 0.05 * past[-1] * sum(past[-10:])
            past.append(min(own + 1.5 * float(then * now) + 0.1, 1.0))
        found = batch.targets[:, column, 0] / 9.166 + 398 / 1024
        assert found.tolist() == pytest.approx(past[10:], abs=1e-5)


def test_the_running_sum_is_the_sum_written_out() -> None:
    generator = make(length=200)
    batch = drawn(generator, 50)

    assert torch.equal(generator.oracle(batch.inputs), batch.targets)
    assert batch.scored[60:].all()
    assert not batch.scored[:60].any()
    assert torch.equal(batch.scored, batch.trained)
    assert (generator.reads, generator.answers) == (Vectors(1), Vectors(1))


def test_inputs_are_uniform_below_a_half() -> None:
    inputs = drawn(make(), 500).inputs

    assert inputs.min() >= 0
    assert inputs.max() < 0.5
    assert abs(inputs.mean() - 0.25) < 5 * (1 / 48 / inputs.numel()) ** 0.5


def test_a_system_that_runs_away_is_cut_at_one_and_comes_back() -> None:
    drive = torch.full((400, 1), 2**23 - 1)
    drive[100:] = 0
    states = _states(drive)[:, 0]

    assert states[99] == 2**24
    assert states.max() == 2**24
    assert states[-1] < 0.2 * 2**24


def test_the_variance_from_step_60_on_is_one() -> None:
    """Within 5 standard errors, which are 1.3e-3 for 2**24 answers, here of 2**20."""
    batch = drawn(make(length=128), 8192)
    answers = batch.targets[SETTLED:].double()

    assert make().trivial() == 1
    assert answers.var(correction=0).item() == pytest.approx(1, abs=5 * 1.3e-3 * 4)
    early, late = (half.var().item() for half in answers.split(64))
    assert early == pytest.approx(late, rel=0.05)


def test_before_it_the_variance_is_measured() -> None:
    answers = drawn(make(length=20, washout=15), 8192).targets[15:, :, 0].double()

    assert make(length=20, washout=15).trivial() == pytest.approx(
        answers.var(dim=1).mean().item(), rel=0.02
    )
    assert make(length=9, washout=0).trivial() == 0  # the inputs do not count yet
    assert make(length=120, washout=0).trivial() > 0.5


def test_it_may_be_longer() -> None:
    assert make().at_length(400) == make(length=400)
    short, long = drawn(make(), 5).targets, drawn(make(length=400), 5).targets
    assert torch.equal(short, long[:100])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1, not 0."),
        ({"washout": -1}, "washout must be a whole number of at least 0, not -1."),
    ],
)
def test_settings_are_checked(settings, message) -> None:
    with pytest.raises(OptionError) as caught:
        make(**settings)

    assert str(caught.value) == message
