"""Importing what somebody else wrote: from one file, a module, or an installed package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from cellbench.errors import PluginError, did_you_mean


def load_named(name: str, root: Path, what: str) -> object:
    """Return what `FILE.py:NAME` or `package.module:NAME` names.

    Args:
        name: With a colon.
        root: The folder to which a file is relative.
        what: It should be, for messages: "cell", "generator".

    Raises:
        PluginError: It cannot be imported, or has nothing of that name.
    """
    where, colon, attribute = name.rpartition(":")
    if not colon:
        raise PluginError(f"{name} is a file: name the class in it, as in {name}:My{what.title()}.")
    module = _load_file(where, root) if where.endswith(".py") else _load_module(where)
    return _attribute(module, where, attribute)


def _load_file(where: str, root: Path) -> ModuleType:
    """Import a file under a name of its own, once for each content it ever had."""
    path = root / Path(where).expanduser()
    try:
        source = path.read_bytes()
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise PluginError(f"{where} cannot be read: {problem}. It was looked for in {root}.") from (
            error
        )
    digest = hashlib.sha256(str(path.resolve()).encode() + b"\0" + source).hexdigest()
    name = f"_cellbench_file_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, _OneFile(path, source), origin=str(path))
    assert spec is not None  # noqa: S101 -- it is None only without a loader
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    _run(where, spec.loader, module, path)
    return module


def _run(where: str, loader: Any, module: ModuleType, path: Path) -> None:
    """Execute a module whose neighbours can be imported; forget it again if it fails."""
    sys.modules[module.__name__] = module
    sys.path.append(str(path.parent))  # last: a neighbour called `random.py` shadows nothing
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise PluginError(f"{where} failed to import: {described(error, path)}.") from error
    finally:
        sys.path.remove(str(path.parent))


class _OneFile(importlib.abc.SourceLoader):
    """Compiles what was read and digested; never bytecode that may be older."""

    def __init__(self, path: Path, source: bytes) -> None:
        self.path = path
        self.source = source

    def get_filename(self, fullname: str) -> str:
        del fullname
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        if Path(str(path)) != self.path:
            raise FileNotFoundError(path)
        return self.source


def _load_module(where: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and where.startswith(error.name or where)
        advice = " Is it installed? A file is named with its .py." if missing else ""
        raise PluginError(f"{where} failed to import: {described(error)}.{advice}") from error


def _attribute(module: ModuleType, where: str, attribute: str) -> object:
    if hasattr(module, attribute):
        return getattr(module, attribute)
    classes = [name for name, value in vars(module).items() if isinstance(value, type)]
    raise PluginError(f"{where} has no class {attribute!r}{did_you_mean(attribute, classes)}")


def installed(group: str) -> dict[str, list[EntryPoint]]:
    """Return the entry points of each name in a group; more than one only if packages clash."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


def load_point(name: str, points: list[EntryPoint], what: str) -> object:
    """Return what the one entry point of a name loads.

    Raises:
        PluginError: Two packages have the name, or it cannot be imported.
    """
    packages = sorted({_package(point) for point in points})
    if len(packages) > 1:
        raise PluginError(
            f"{' and '.join(packages)} both have a {what} named {name!r}: uninstall one, or name "
            f"the class itself: {' or '.join(sorted(point.value for point in points))}."
        )
    try:
        loaded: object = points[0].load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{what.title()} {name!r} of {packages[0]} ({points[0].value}) failed to import: "
            f"{described(error)}. Update or uninstall {packages[0]}."
        ) from error
    return loaded


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown package"


def described(error: BaseException, path: Path | None = None) -> str:
    """Return type, first line of the message, and where: in `path`, if it passed there."""
    message = str(error).partition("\n")[0]
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    ours = (str(Path(__file__).with_name(name)) for name in ("plugins.py", "catalog.py"))
    machinery = (__file__, *ours, importlib.__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in machinery and not frame.filename.startswith("<frozen importlib")
    ]
    inside = [frame for frame in frames if frame.filename == str(path)] or frames
    where = f" ({Path(inside[-1].filename).name}, line {inside[-1].lineno})" if inside else ""
    return f"{type(error).__name__}: {message}{where}"
