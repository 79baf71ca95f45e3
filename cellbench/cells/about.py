"""What the docstring of a cell says, in parts.

Every cell of ours has, in this order: what it is, its equations as an indented block, `Source:`,
`Differs from it:`, `Parameters:` and `Args:`. `Parameters` is their number as a formula in the
syntax of Python: X is input_size, H hidden_size, and any other name an option.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

SECTIONS = ("Source:", "Differs from it:", "Parameters:", "Args:")


@dataclass(frozen=True, slots=True)
class About:
    """A docstring in parts.

    Attributes:
        summary: What the cell is, in a line.
        equations: Everything up to the source: equations, and what follows from them.
        source: Where it is from.
        differs: What is not as it is there.
        parameters: Their number, as a formula.
        args: What the constructor takes.
    """

    summary: str
    equations: str
    source: str
    differs: str
    parameters: str
    args: str

    @property
    def year(self) -> int | None:
        """The year of the first source."""
        found = re.search(r"\b(?:19|20)\d\d\b", self.source)
        return int(found[0]) if found else None

    @property
    def paper(self) -> str:
        """Title of the first source that has one; else its authors."""
        found = re.search(r'"(.+?)"', self.source)
        return found[1] if found else self.source.partition(",")[0]


def about(cell: Callable[..., object]) -> About:
    """Take the docstring of a cell apart; a part that is not there is empty."""
    text = inspect.getdoc(cell) or ""
    summary, _, rest = text.partition("\n")
    places = [(rest.find(f"\n{name}"), name) for name in SECTIONS]
    found = [(place, name) for place, name in places if place >= 0]
    ends = [*(place for place, _ in found[1:]), len(rest)]
    parts = {
        name: rest[place + 1 + len(name) : end]
        for (place, name), end in zip(found, ends, strict=True)
    }
    flat = {name: " ".join(part.split()) for name, part in parts.items()}
    return About(
        summary=summary,
        equations=(rest[: found[0][0]] if found else rest).strip("\n"),
        source=flat.get("Source:", ""),
        differs=flat.get("Differs from it:", ""),
        parameters=flat.get("Parameters:", "").rstrip("."),
        args=inspect.cleandoc(parts.get("Args:", "")),
    )


class Held(msgspec.Struct, frozen=True):
    """What a cell was held to, in values and every gradient.

    Attributes:
        package: As it is installed; "" for formulas that a test writes out.
        version: Of the package.
        what: Of the package, or of the paper.
        error: Largest difference, relative to the largest value where that is above 1.
    """

    cell: str
    package: str
    version: str
    what: str
    error: float

    def __str__(self) -> str:
        return f"{self.package} {self.version}, {self.what}" if self.package else self.what


@cache
def parity() -> Mapping[str, list[Held]]:
    """Return what each cell was held to, as the tests have measured it."""
    text = files("cellbench.cells").joinpath("parity.json").read_text()
    found: dict[str, list[Held]] = {}
    for held in msgspec.json.decode(text, type=list[Held]):
        found.setdefault(held.cell, []).append(held)
    return found


def count_parameters(formula: str, sizes: Mapping[str, object]) -> int:
    """Return what the formula of `Parameters` gives.

    Args:
        formula: See above; `ceil`, `min`, `max` and comparisons may be used.
        sizes: X, H, and the options.

    Raises:
        ValueError: It uses a name that is none of these, or anything but arithmetic.
    """
    tree = ast.parse(formula, mode="eval")
    names = {"ceil": math.ceil, "floor": math.floor, "min": min, "max": max, **sizes}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in names:
            raise ValueError(f"{formula!r}: {node.id} is neither X, H nor an option")
        if isinstance(node, ast.Attribute | ast.Subscript | ast.Lambda):
            raise ValueError(f"{formula!r} is no arithmetic")  # noqa: TRY004 -- of a text
    value: Any = eval(compile(tree, "Parameters", "eval"), {"__builtins__": {}}, names)  # noqa: S307 -- looked through above
    return int(value)
