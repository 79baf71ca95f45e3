"""The pages in `docs/` that are written from code and measurements are those of today."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import mutate_cells
import pytest
from write_pages import scores

from cellbench.catalog import load_tasks
from cellbench.cells import CELLS
from cellbench.cells.about import parity
from cellbench.generators import zeros
from cellbench.report import tasks
from cellbench.report.cells import LEFT_OUT, page

DOCS = Path(__file__).parent.parent / "docs"
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="no docs beside these tests")


def test_the_page_of_cells_is_todays() -> None:
    assert (DOCS / "cells.md").read_text() == page(), "`make pages` writes it"


def test_the_page_of_tasks_is_todays() -> None:
    assert (DOCS / "tasks.md").read_text() == tasks.page(), "`make pages` writes it"


def test_the_zeros_that_were_worked_out_before_are_todays() -> None:
    assert scores() == pytest.approx(zeros.known(), rel=1e-9), "`make pages` writes them"


def test_a_zero_that_was_not_worked_out_before_is_worked_out() -> None:
    adding = load_tasks()["adding/length-50"].generator

    assert zeros.key_of(adding) in zeros.known()
    assert zeros.trivial(dataclasses.replace(adding, length=51)) == adding.trivial()


def test_every_cell_was_held_to_something_that_is_not_ours() -> None:
    assert set(parity()) == set(CELLS)
    assert not set(LEFT_OUT) & set(CELLS)


def test_what_mutations_found_is_of_todays_cells() -> None:
    found = json.loads(mutate_cells.FOUND.read_text())
    every = [*CELLS, *mutate_cells.SHARED]
    sources = {name: (mutate_cells.CELLS / f"{name}.py").read_text() for name in every}
    today = {name: mutate_cells.digest(source) for name, source in sources.items()}

    assert {name: entry["digest"] for name, entry in found.items()} == today, "`make mutations`"
    assert (DOCS / "mutations.md").read_text() == mutate_cells.page(found)


def test_every_cell_has_mutants_and_none_survives() -> None:
    found = json.loads(mutate_cells.FOUND.read_text())
    alive = {
        f"{name}, {row['mutant']}"
        for name, entry in found.items()
        for row in entry["mutants"]
        if not row["by"] and not mutate_cells.reason(name, row["mutant"])
    }

    assert alive == set()
    inside = {name: [name] for name in CELLS}
    for module, cells in mutate_cells.SHARED.items():
        for cell in set(cells) & set(CELLS):
            inside[cell].append(module)
    assert all(any(found[part]["mutants"] for part in parts) for parts in inside.values())
    assert all(
        len(reason.split()) > 3 for same in mutate_cells.SAME.values() for reason in same.values()
    )


def test_a_mutant_is_one_change() -> None:
    source = (
        "def step(i, f, z):\n    i, f = z.chunk(2)\n    return 1 - z, i * f, -f, z.tanh() + i\n"
    )
    told = [mutant.what for mutant in mutate_cells.mutants(source)]

    assert sorted(told) == [
        "2: i, f = z.chunk(2) -> f, i = z.chunk(2)",
        "3: -f -> f",
        "3: 1 - z -> z",
        "3: i * f -> i",
        "3: z.tanh() + i -> z.tanh() - i",
        "3: z.tanh() -> z.sigmoid()",
    ]
    assert len({mutant.source for mutant in mutate_cells.mutants(source)}) == len(told)


def test_only_code_changes_a_digest() -> None:
    first = mutate_cells.digest('def f(x):\n    """One."""\n    return x + 1  # why\n')

    assert mutate_cells.digest('def f(x):\n    """Two."""\n    return x + 1\n') == first
    assert mutate_cells.digest('def f(x):\n    """One."""\n    return x - 1\n') != first
