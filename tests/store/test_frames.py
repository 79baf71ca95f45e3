"""Columns made of what a record holds."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from records import SETTINGS, trial

from cellbench.record import Point, Status
from cellbench.store.frames import JOB, trials_frame


def look(metric, loss=1.0, step=100) -> Point:
    return Point(step=step, train_loss=loss, metric=metric, elapsed_s=1.0)


@pytest.mark.parametrize(
    ("curve", "skill"),
    [
        ((look(1.0), look(0.5625)), 0.5),  # the last look: it is that model which is kept
        ((look(0.5625), look(None)), None),
        ((look(1.0), look(0.5625, loss=None)), None),
        ((), None),
    ],
)
def test_skill_on_validation_is_that_of_the_last_look(curve, skill) -> None:
    """Without memory 0.125 is reached, so 0.5625 is half of the way to 1."""
    (row,) = trials_frame([trial(curve=curve)]).to_dict("records")

    assert row["validation_skill"] == skill


def test_skill_on_validation_knows_nothing_of_the_test() -> None:
    """A trial may have diverged on the test alone: its status tells, its validation does not."""
    of_test = {"test_metric": None, "skill": None, "status": Status.DIVERGED}
    rows = trials_frame([trial(seed=0, curve=(look(0.5625),)),
                         trial(seed=1, curve=(look(0.5625),), **of_test)])  # fmt: skip

    assert list(rows["validation_skill"]) == [0.5, 0.5]


def test_a_rate_is_a_column_and_no_part_of_what_is_measured() -> None:
    rows = trials_frame([trial(), trial(settings=replace(SETTINGS, learning_rate=0.01))])

    assert list(rows["learning_rate"]) == [0.0, 0.01]
    assert "learning_rate" not in JOB
