"""What a test asks for: cells and sizes, by command line, mark or configuration."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from cellbench.errors import OptionError, did_you_mean

MARK = "cellbench"

SIZES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "time": (64, "Steps of a sequence"),
        "batch": (16, "Sequences at once"),
        "hidden": (64, "Features of input and output"),
    }
)
"""Name of an option and of a mark's argument -> default, and help."""

KINDS: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "dtype": (("float32", "float64", "bfloat16"), "Of parameters and inputs"),
        "unroll": (
            ("auto", "stepwise", "compiled", "parallel"),
            "How cells are carried through time",
        ),
    }
)
"""Name of an option -> what it can be, the default first, and help."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be timed.

    Attributes:
        cells: As on the command line; "" for none.
        root: The folder to which a file in `cells` is relative.
        time: Steps of a sequence; `batch`, sequences at once; `hidden`, features in and out.
        device: As asked: auto, cpu, cuda, or cuda:N.
        dtype: Of parameters and inputs.
        unroll: How cells are carried through time.
        threads: CPU threads while timing.
    """

    cells: str
    root: Path
    time: int
    batch: int
    hidden: int
    device: str
    dtype: str
    unroll: str
    threads: int

    def names(self) -> list[str]:
        """Return the cells in canonical form, each of which can be built; empty if there is none.

        Raises:
            CellbenchError: One cannot be read, found or built.
        """
        if not self.cells.strip():
            return []
        from cellbench.plugins import check_buildable, parse_cell, split_cells  # noqa: PLC0415 -- imports torch

        specs = [parse_cell(cell, self.root) for cell in split_cells(self.cells)]
        for spec in specs:
            check_buildable(spec, self.hidden, self.hidden)
        return [spec.text for spec in specs]


def asked_of(config: pytest.Config, node: pytest.Item | None = None) -> Asked:
    """Return what the command line asks for; where that is silent, the marks of `node`.

    The nearest mark counts: a function's before its class's before its module's.

    Raises:
        OptionError: A mark has an argument that there is not, or that cannot be used.
    """
    marked = _marked(node)
    cells, root = _cells(config, node, marked)
    sizes: dict[str, Any] = {name: usual for name, (usual, _) in SIZES.items()}
    sizes |= {name: marked[name] for name in SIZES if name in marked}
    sizes |= {name: given for name in SIZES if (given := _option(config, name)) is not None}
    kinds = {name: _option(config, name) for name in (*KINDS, "device", "threads")}
    return Asked(cells=cells, root=root, **sizes, **kinds)


def _option(config: pytest.Config, name: str) -> Any:
    return config.getoption(f"cellbench_{name}")


def _cells(
    config: pytest.Config, node: pytest.Item | None, marked: Mapping[str, object]
) -> tuple[str, Path]:
    """Return the cells of whoever names some first, and where files are looked for then."""
    given = config.getoption("cellbench_cells")
    if given is not None:
        return str(given), config.invocation_params.dir
    if node is not None and "cells" in marked:
        return str(marked["cells"]), node.path.parent
    return str(config.getini("cellbench_cells")), config.rootpath


def _marked(node: pytest.Item | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for mark in [] if node is None else reversed(list(node.iter_markers(MARK))):
        if mark.args:
            raise OptionError(
                f"@pytest.mark.{MARK} takes its arguments by name: cells={mark.args[0]!r}."
            )
        for name, value in mark.kwargs.items():
            _check(name, value)
            found[name] = value
    return found


def _check(name: str, value: object) -> None:
    known = ("cells", *SIZES)
    if name not in known:
        raise OptionError(
            f"@pytest.mark.{MARK} has no argument {name!r}{did_you_mean(name, known)} "
            f"There are {', '.join(known)}."
        )
    if name == "cells" and not isinstance(value, str):
        raise OptionError(f'@pytest.mark.{MARK}: cells is text, such as "lstm,gru", not {value!r}.')
    if name in SIZES and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise OptionError(
            f"@pytest.mark.{MARK}: {name} is a whole number of at least 1, not {value!r}."
        )


def positive(text: str) -> int:
    """Read a whole number of at least 1.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)
