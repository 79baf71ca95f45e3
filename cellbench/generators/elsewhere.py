"""Generators by name: our own, those of installed packages, and those in a file of yours."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import final

from cellbench.errors import PluginError, UnknownNameError
from cellbench.generators import GENERATORS
from cellbench.generators.base import Generator
from cellbench.loading import installed, load_named, load_point

GROUP = "cellbench.generators"
"""Entry points of generators in installed packages."""


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Where a generator that is not ours comes from, and how another process finds it again.

    Attributes:
        name: As the task file gives it.
        root: The folder to which a file is relative.
        digest: SHA-256 of the file that defines it.
    """

    name: str
    root: Path
    digest: str


def generator_names() -> list[str]:
    """Return the names of our own generators and of installed ones, which are not imported."""
    return sorted({*GENERATORS, *installed(GROUP)})


def find_generator(name: str, root: Path) -> tuple[type[Generator], Origin | None]:
    """Return the generator of a name, and where it comes from if it is not ours.

    Args:
        name: One of ours; `FILE.py:CLASS`, `package.module:CLASS`, or an entry point.
        root: The folder to which a file is relative.

    Raises:
        UnknownNameError: There is none.
        PluginError: It cannot be imported, or is no generator.
    """
    if name in GENERATORS:
        return GENERATORS[name], None
    if ":" in name or name.endswith(".py"):
        found = load_named(name, root, "generator")
    elif name in (points := installed(GROUP)):
        found = load_point(name, points[name], "generator")
    else:
        raise UnknownNameError("generator", name, generator_names())
    if not (isinstance(found, type) and issubclass(found, Generator)):
        raise PluginError(
            f"{name} is no generator: derive it from {Generator.__module__}.Generator."
        )
    missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
    if missing:
        raise PluginError(f"{name} is abstract: it must define {missing}.")
    if not dataclasses.is_dataclass(found):
        raise PluginError(f"{name} must be a frozen dataclass, whose fields are its settings.")
    source = Path(inspect.getfile(found)).read_bytes().replace(b"\r\n", b"\n")
    return found, Origin(name, root, hashlib.sha256(source).hexdigest())
