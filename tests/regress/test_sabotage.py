"""Real processes on a real repository: what a bad change does to a cell is caught, each time."""

from __future__ import annotations

import random
import subprocess

import pytest
from sabotaged_cells import BAD, GOOD

from cellbench.record import Sizes
from cellbench.regress.exact import judge_facts
from cellbench.regress.gate import Gate
from cellbench.regress.learning import judge_learning
from cellbench.regress.plan import GatePlan
from cellbench.regress.sides import starter
from cellbench.regress.trees import checked_out, merge_base, working_tree
from cellbench.verdicts import Kind, Verdict

NAMES = ("Leaks", "Keeps", "Breaks", "Bigger", "Forgets", "Costs", "Gone", "Crashes", "Same")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the findings of one count on both sides, and on learning, by cell."""
    here = tmp_path_factory.mktemp("project")
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "good"],
    ):
        (here / "cells.py").write_text(GOOD)
        subprocess.run(["git", "-C", str(here), *command], check=True)  # noqa: S607
    (here / "cells.py").write_text(BAD)
    plan = GatePlan(
        cells=tuple(f"cells.py:{name}" for name in NAMES),
        sizes=Sizes(time=6, batch=4, input=32, hidden=32),
    )
    with checked_out(here, merge_base(here, "main")) as base:
        trees = {"base": base, "head": working_tree(here)}
        made = Gate(
            plan=plan,
            start=starter(trees, plan, here / "logs"),
            keep=lambda _: None,
            run_id="sabotage",
            commits={side: tree.commit for side, tree in trees.items()},
            order=random.Random(0),  # noqa: S311 -- an order
        )
        made.count()
    pairs = {
        name: (made.facts["base"][f"cells.py:{name}"], made.facts["head"][f"cells.py:{name}"])
        for name in NAMES
    }
    both = [pair for name, pair in pairs.items() if name not in {"Gone", "Crashes"}]
    learned = {seen.cell: seen for seen in judge_learning(both, plan.level)}
    return {
        name: {
            **{seen.metric: seen for seen in judge_facts(*pair)},
            "learning": learned.get(f"cells.py:{name}"),
        }
        for name, pair in pairs.items()
    }


@pytest.mark.parametrize(
    ("name", "metric", "verdict"),
    [
        ("Leaks", "leaked_bytes", Verdict.REGRESSED),
        ("Keeps", "leaked_objects", Verdict.REGRESSED),
        ("Breaks", "graph_breaks", Verdict.REGRESSED),
        ("Breaks", "compiles", Verdict.CHANGED),
        ("Bigger", "parameters", Verdict.CHANGED),
        ("Forgets", "outputs", Verdict.CHANGED),
        ("Forgets", "learning", Verdict.REGRESSED),
        ("Costs", "operations", Verdict.REGRESSED),
        ("Costs", "kernels", Verdict.REGRESSED),
        ("Gone", "cell", Verdict.MISSING),
        ("Crashes", "cell", Verdict.FAILED),
    ],
)
def test_a_bad_change_is_caught(found, name, metric, verdict) -> None:
    assert found[name][metric].verdict is verdict, found[name]


def test_a_cell_that_did_not_change_is_equal_in_everything(found) -> None:
    assert {seen.verdict for seen in found["Same"].values()} == {Verdict.EQUIVALENT}
    assert {seen.kind for seen in found["Same"].values()} == {Kind.EXACT, Kind.ACCURACY}


def test_a_leak_is_told_in_bytes_of_a_call(found) -> None:
    outputs = 6 * 4 * 32 * 4 + 32 * 4  # those of a training step, and of one step alone

    assert found["Leaks"]["leaked_bytes"].head == outputs
    assert found["Leaks"]["leaked_bytes"].base == 0
