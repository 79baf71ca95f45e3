"""Cells by name: our own, those of installed packages, and those in one file of yours.

    lstm                                a cell that ships with cellbench
    hyperlstm(hyper_size=32)            the same, with options: NAME=VALUE, separated by commas
    my_cell.py:MyCell                   class MyCell of that file, relative to where you are
    package.module:MyCell(k=1)          class MyCell of an importable module
    fancy                               entry point `fancy` of an installed package
    compressed(gru, coefficients=8)     a cell around another, which may be any of these

A value is a Python literal or a bare word, which is text: `init=paper` is `init="paper"`.
A cell is one around another if its constructor has a parameter `inner_cell`. The other is written
without a name, and reaches the constructor as a function `(input_size, hidden_size) -> Cell`.
A package offers cells through entry points of the group `cellbench.cells`; the names of
cellbench itself always mean its own cells.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import keyword
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, final

import torch
from torch import nn

from cellbench.cells import CELLS
from cellbench.cells.adapter import as_cell
from cellbench.cells.base import Cell
from cellbench.errors import OptionError, PluginError, UnknownNameError, did_you_mean
from cellbench.loading import described, installed, load_named, load_point

GROUP = "cellbench.cells"

CLOSING = {"(": ")", "[": "]", "{": "}"}

INNER = "inner_cell"
"""The parameter of a constructor that takes another cell."""

Factory = Callable[..., nn.Module]


@final
@dataclass(frozen=True)
class CellSpec:
    """A cell that was asked for, and the means to build it.

    Pickles as its text and root, so that another process finds the cell again by itself,
    and refuses it if its source has changed since.

    Attributes:
        text: The expression in canonical form: options sorted, no spaces but after commas.
        source_digest: SHA-256 of the file that defines it; a change there is another cell.
            Of a cell around another, of what both files give.
        name: The expression without its options.
        options: What the constructor gets besides the sizes.
        root: The folder to which a file in `text` is relative. `parse_cell(text, root)`
            gives the same cell whatever the current directory is.
    """

    text: str
    source_digest: str
    name: str = field(compare=False)
    options: Mapping[str, object] = field(compare=False)
    root: Path = field(compare=False, repr=False)
    factory: Factory = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Callable[..., CellSpec], tuple[str, Path, str]]:
        return _parse_unchanged, (self.text, self.root, self.source_digest)

    def build(self, input_size: int, hidden_size: int) -> Cell:
        """Return a new cell; a plain `nn.Module` is wrapped into one.

        Raises:
            OptionError: The cell refuses the value of an option.
            PluginError: It cannot be built, or is no cell.
        """
        sizes = f"input_size={input_size}, hidden_size={hidden_size}"
        try:
            made: object = self.factory(input_size, hidden_size, **self.options)
            if isinstance(made, nn.Module):
                return made if isinstance(made, Cell) else as_cell(made, input_size)
        except OptionError as error:
            raise OptionError(f"{self.text}: {error}") from error
        except PluginError as error:
            raise PluginError(f"{self.text}: {error}") from error
        except Exception as error:
            raise PluginError(
                f"{self.text} cannot be built with {sizes}: "
                f"{described(error, _file_of(self.factory))}. A constructor is called with "
                "(input_size, hidden_size, **options)."
            ) from error
        raise PluginError(
            f"{self.text} gives a {type(made).__name__}, which is no cell: derive it from "
            "cellbench.cells.base.Cell or from torch.nn.Module."
        )


def parse_cell(expression: str, root: Path | None = None) -> CellSpec:
    """Read the expression of a cell, and import that cell alone.

    Args:
        expression: See the top of this module.
        root: The folder to which a file in it is relative; the current one if None.

    Raises:
        UnknownNameError: Nothing has a cell of that name.
        OptionError: The expression is malformed, or the cell has no such option.
        PluginError: The file, module, package or class cannot be used.
    """
    return _spec(_read(expression), Path.cwd() if root is None else root.absolute())


def _spec(written: _Written, root: Path) -> CellSpec:
    factory = _find(written.name, root)
    _check_inner(written, factory)
    _check_options(written, factory)
    inner = [_spec(cell, root) for cell in written.inner]
    wrapped = [(INNER, cell.build) for cell in inner]
    return CellSpec(
        text=written.canonical(),
        source_digest=_source_digest(written.name, factory, inner),
        name=written.name,
        options=MappingProxyType({**written.options, **dict(wrapped)}),
        root=root,
        factory=factory,
    )


def _parse_unchanged(text: str, root: Path, source_digest: str) -> CellSpec:
    spec = parse_cell(text, root)
    if spec.source_digest != source_digest:
        raise PluginError(f"The source of {text} has changed since it was first read: start again.")
    return spec


def check_buildable(spec: CellSpec, input_size: int = 8, hidden_size: int = 64) -> Cell:
    """Build the cell once, to see that it can be done; take no random numbers.

    Raises:
        OptionError: The cell refuses the value of an option.
        PluginError: It cannot be built, or is no cell.
    """
    with torch.random.fork_rng(devices=[]):
        return spec.build(input_size, hidden_size)


def split_cells(text: str) -> list[str]:
    """Split `lstm,hyperlstm(hyper_size=32)` at the commas between cells.

    Raises:
        OptionError: A cell is malformed, missing between two commas, or there twice.
    """
    items = [item.strip() for item in _split(text)]
    seen: dict[str, str] = {}
    for item in items:
        if not item:
            raise OptionError(f"{text!r} has an empty name between its commas: take it out.")
        canonical = _read(item).canonical()
        if canonical in seen:
            raise OptionError(f"{text!r} has {seen[canonical]} twice: take one out.")
        seen[canonical] = item
    return items


def cell_names() -> list[str]:
    """Return the names of our own cells and of installed ones, which are not imported."""
    return sorted({*CELLS, *installed(GROUP)})


def read_cell(expression: str) -> tuple[str, Mapping[str, object], str]:
    """Return the name in an expression, the options, and its canonical form.

    Raises:
        OptionError: It is malformed.
    """
    written = _read(expression)
    return written.name, written.options, written.canonical()


# --- Reading an expression ----------------------------------------------------------------


class _Written(NamedTuple):
    """An expression taken apart."""

    name: str
    options: Mapping[str, object]
    inner: Sequence[_Written]

    def canonical(self) -> str:
        listed = [cell.canonical() for cell in self.inner]
        listed += [f"{k}={_as_written(v)}" for k, v in sorted(self.options.items())]
        return f"{self.name}({', '.join(listed)})" if listed else self.name


def _split(text: str, *, inside: bool = False) -> Iterator[str]:
    """Cut at the commas that stand in no bracket of `text`.

    Args:
        text: One cell or several; or what stands in brackets.
        inside: Whether it stands in brackets: a quote counts only there.
    """
    waiting: list[str] = []  # what would close the brackets and the quote that are open
    start = 0
    for n, char in enumerate(text):
        if waiting and waiting[-1] in "'\"":
            if char == waiting[-1] and text[n - 1] != "\\":
                waiting.pop()
        elif char in CLOSING or ((waiting or inside) and char in "'\""):
            waiting.append(CLOSING.get(char, char))
        elif waiting and char == waiting[-1]:
            waiting.pop()
        elif char in CLOSING.values():
            raise OptionError(f"{text!r} closes {char!r}, which is not open: balance the brackets.")
        elif char == "," and not waiting:
            yield text[start:n]
            start = n + 1
    if waiting:
        raise OptionError(f"{text!r} ends before {waiting[-1]!r}: balance brackets and quotes.")
    yield text[start:]


def _read(expression: str) -> _Written:
    """Take an expression apart, without looking at what it names."""
    text = expression.strip()
    if len(list(_split(text))) > 1:
        raise OptionError(f"{text!r} is more than one cell: give one.")
    name, bracket, rest = text.partition("(")
    if not name.strip():
        raise OptionError(f"{text!r} names no cell: write NAME or NAME(OPTION=VALUE, ...).")
    if bracket and not rest.endswith(")"):
        after = rest.rpartition(")")[2]
        raise OptionError(f"{text!r} has {after!r} after its options: take it out.")
    named, nameless = _arguments(text, rest[:-1])
    options = _read_options(text, ", ".join(named))
    return _Written(_clean_name(name.strip()), options, [_read(cell) for cell in nameless])


def _arguments(text: str, inside: str) -> tuple[list[str], list[str]]:
    """Return what has the form NAME=VALUE, and what has not."""
    try:
        given = list(_split(inside, inside=True))
    except OptionError as error:
        raise _unreadable(text) from error
    if not given[-1].strip():  # as Python has it, a last comma says nothing
        given.pop()
    if not all(argument.strip() for argument in given):
        raise _unreadable(text)
    named = [argument for argument in given if re.match(r"\s*[^\W\d]\w*\s*=(?!=)", argument)]
    return named, [argument for argument in given if argument not in named]


def _clean_name(name: str) -> str:
    """Write the path of a file in one way."""
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return f"{Path(path).as_posix()}:{attribute}"
    return name


AS_NAMED = "write them as NAME=VALUE, such as forget_bias=1.0"


def _unreadable(text: str) -> OptionError:
    return OptionError(f"The options of {text!r} cannot be read; {AS_NAMED}.")


def _read_options(text: str, inside: str) -> dict[str, object]:
    try:
        call = ast.parse(f"_({inside})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unreadable(text) from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise _unreadable(text)
    options: dict[str, object] = {}
    for given in call.keywords:
        name = str(given.arg)
        if name in options:
            raise OptionError(f"{text!r} gives {name} twice: take one out.")
        options[name] = _read_value(text, name, given.value)
    return options


class _BareWords(ast.NodeTransformer):
    """Turns names into text."""

    def visit_Name(self, node: ast.Name) -> ast.Constant:
        return ast.copy_location(ast.Constant(node.id), node)


def _read_value(text: str, name: str, node: ast.expr) -> object:
    try:
        value: object = ast.literal_eval(_BareWords().visit(node))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        value = ...
    if not _is_plain(value):
        raise OptionError(
            f"{text!r}: the value of {name} is no plain value. Give a number, True, False, "
            'None, a word, "text in quotes", or a list of these.'
        )
    return value


def _is_plain(value: object) -> bool:
    """Whether `_as_written` can write it so that it is read as the same."""
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def _as_written(value: object) -> str:
    if isinstance(value, str) and value.isidentifier() and value.isascii():
        return repr(value) if keyword.iskeyword(value) else value
    return repr(value)


# --- Finding what it names ----------------------------------------------------------------


def _find(name: str, root: Path) -> Factory:
    if name in CELLS:
        return CELLS[name]
    if ":" in name or name.endswith(".py"):
        return _checked(name, load_named(name, root, "cell"))
    points = installed(GROUP).get(name)
    if points is None:
        raise UnknownNameError("cell", name, cell_names())
    return _checked(name, load_point(name, points, "cell"))


def _checked(name: str, found: object) -> Factory:
    """Return what was found, if it looks as if it could make a cell."""
    if isinstance(found, type):
        if not issubclass(found, nn.Module):
            raise PluginError(
                f"{name} is no cell: derive it from cellbench.cells.base.Cell or torch.nn.Module."
            )
        if inspect.isabstract(found):
            missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
            raise PluginError(f"{name} is abstract: it must define {missing}.")
        return found
    if not callable(found):
        raise PluginError(f"{name} is a {type(found).__name__}: name a class, or a function.")
    return found


# --- What it is made of -------------------------------------------------------------------


def _check_inner(written: _Written, factory: Factory) -> None:
    """Raise OptionError unless there is a cell inside where one belongs, and only there."""
    place = _parameters(factory).get(INNER)
    if place is None:
        if written.inner:
            raise OptionError(f"{written.canonical()!r} has an option without a name; {AS_NAMED}.")
        return
    example = f"write one, as in {written.name}(lstm)"
    if INNER in written.options:
        raise OptionError(f"{written.name} takes its inner cell without a name: {example}.")
    if len(written.inner) > 1:
        raise OptionError(f"{written.canonical()} has {len(written.inner)} inner cells: {example}.")
    if not written.inner and place.default is place.empty:
        raise OptionError(f"{written.canonical()} has no inner cell: {example}.")


def _check_options(written: _Written, factory: Factory) -> None:
    """Raise OptionError unless the constructor knows every option."""
    known = _known_options(factory)
    for option in written.options:
        if option in {"input_size", "hidden_size"}:
            raise OptionError(f"{written.canonical()}: {option} is set by the run: take it out.")
        if known is not None and option not in known:
            listed = f"It takes {', '.join(known)}." if known else "It takes no options."
            raise OptionError(
                f"{written.name} has no option {option!r}{did_you_mean(option, known)} {listed}"
            )


def _known_options(factory: Factory) -> list[str] | None:
    """Return the options in the constructor's order, or None if it says `**options`."""
    parameters = list(_parameters(factory).values())
    if not parameters or any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    by_name = [p for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    return [p.name for p in by_name if p.name not in {*positional[:2], INNER}]


def _parameters(factory: Factory) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a constructor by name; none if they cannot be known."""
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some constructors in C have no signature
        return {}


def _file_of(factory: Factory) -> Path:
    """Return the file that defines what makes the cell; TypeError or OSError if none does."""
    while isinstance(factory, partial):
        factory = factory.func
    return Path(inspect.getfile(inspect.unwrap(factory)))


def _source_digest(name: str, factory: Factory, inner: Sequence[CellSpec]) -> str:
    """Return the SHA-256 of the file that defines what makes the cell.

    With a cell inside, given or by default, that of both digests.
    """
    digests = [_file_digest(name, factory), *(cell.source_digest for cell in inner)]
    place = _parameters(factory).get(INNER)
    if not inner and place is not None and callable(place.default):
        digests.append(_file_digest(f"the inner cell of {name}", place.default))
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests[1:] else digests[0]


def _file_digest(name: str, factory: Factory) -> str:
    try:
        content = _file_of(factory).read_bytes()
    except (TypeError, OSError) as error:
        raise PluginError(
            f"The file that defines {name} is not to be found, so a change in it could not be "
            "seen: define the cell as a class in a file."
        ) from error
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()
