"""The sequences of a version never change: a new digest here needs a new version there."""

from __future__ import annotations

import pytest
from sequence_digests import digest, held

from cellbench.catalog import find_task, load_tasks
from cellbench.generators.stream import SPLITS

HELD = held()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("task", HELD)
def test_sequences_are_those_of_their_version(task, split) -> None:
    found = find_task(task)

    assert found.version == HELD[task]["version"]
    assert digest(found.generator, split) == HELD[task][split]


def test_every_family_and_split_is_held() -> None:
    families = {task.partition("/")[0] for task in HELD}

    assert families == {task.family for task in load_tasks().values()}
    assert all(set(SPLITS) < set(line) for line in HELD.values())
