"""What is told of cells: the list, and the sheet of one."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cellbench.cells import CELLS, FAMILIES
from cellbench.cells.about import parity
from cellbench.cli import main
from cellbench.train.baselines import BASELINES


def told(*arguments: str, width: int = 80) -> str:
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": str(width)})

    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_has_every_cell_under_its_family() -> None:
    lines = told("list", "cells").splitlines()
    family = ""
    found = {}
    for line in lines:
        if line in FAMILIES:
            family = line
        elif line[:1] == " " and line.strip():
            found.setdefault(line.split()[0], family)
    ours = {name: family for family, cells in FAMILIES.items() for name in cells}

    assert ours.items() <= found.items()
    assert max(map(len, lines)) <= 80


def test_the_list_is_there_for_programs_too() -> None:
    rows = json.loads(told("list", "cells", "--format", "json"))
    lstm = next(row for row in rows if row["id"] == "lstm")

    assert {row["id"] for row in rows} == {*CELLS, *BASELINES}
    assert (lstm["year"], lstm["form"], lstm["paper"]) == (
        1997,
        "parallel",
        "Long Short-Term Memory",
    )
    assert lstm["checked"][0].startswith("torch ")


@pytest.mark.parametrize("name", sorted(CELLS))
def test_a_sheet_says_all_there_is_to_know(name) -> None:
    text = told("show", name)
    headings = [line for line in text.splitlines() if line and not line.startswith(" ")]

    assert headings == [
        name, "Equations", "Source", "Differs from it", "Form", "Parameters", "Checked against",
        "Options",
    ]  # fmt: skip
    assert all(str(held.package or "formulas") in text for held in parity()[name])


def test_a_sheet_is_of_the_options_that_are_given() -> None:
    text = told("show", "hyperlstm(hyper_size=16)")

    assert "hyper_size=16: Features of the hyper cell's state." in text
    assert "29696 with 10 inputs and 64 hidden" in text
    assert "12*hyper_size*embedding_size" in text


def test_a_sheet_for_programs() -> None:
    sheet = json.loads(told("show", "gru", "--format", "json"))

    assert "h_t = " in sheet["Equations"]
    assert sheet["gru"].startswith("Gated recurrent unit")


def test_a_cell_from_elsewhere_says_what_it_says_itself() -> None:
    text = told("show", "torch.nn:GRUCell")

    assert "A gated recurrent unit (GRU) cell." in text
    assert "14592 with 10 inputs and 64 hidden" in text
    assert "Checked against" not in text
