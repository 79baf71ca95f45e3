"""A reader of the YAML that this project writes: mappings, lists, blocks of text. No more of it.

What it does not know is an error, so that a file it reads is one that every reader reads alike:
no anchors, tags, tabs, multi-line plain text, or keys that are not plain.
"""

from __future__ import annotations

import re
from typing import Any

KEY = re.compile(r"([A-Za-z_.][\w.\-]*):(?: (.*))?$")
NUMBER = re.compile(r"-?\d+")
WORDS = {"true": True, "false": False, "null": None}


class PlainYamlError(ValueError):
    """Text that is not in the part of YAML that is read here."""


def read(text: str) -> Any:
    """Return what the text of one document says."""
    if "\t" in text:
        raise PlainYamlError("there is a tab")
    lines = list(text.splitlines())
    value, end = _node(lines, _next(lines, 0), 0)
    if _next(lines, end) < len(lines):
        raise PlainYamlError(f"line {_next(lines, end) + 1}: indented less than what it is in")
    return value


def _next(lines: list[str], at: int) -> int:
    """Return the number of the next line that says something."""
    while at < len(lines) and (not lines[at].strip() or lines[at].lstrip().startswith("#")):
        at += 1
    return at


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _node(lines: list[str], at: int, least: int) -> tuple[Any, int]:
    if at >= len(lines) or _indent(lines[at]) < least:
        return None, at
    indent = _indent(lines[at])
    if lines[at].lstrip().startswith("- "):
        return _sequence(lines, at, indent)
    return _mapping(lines, at, indent)


def _sequence(lines: list[str], at: int, indent: int) -> tuple[list[Any], int]:
    found = []
    while at < len(lines) and _indent(lines[at]) == indent and lines[at].lstrip().startswith("- "):
        rest = lines[at].lstrip()[2:]
        if KEY.match(rest):
            lines[at] = " " * (indent + 2) + rest
            value, at = _mapping(lines, at, indent + 2)
        else:
            value, at = _value(rest, lines, at + 1, indent + 2)
        found.append(value)
        at = _next(lines, at)
    return found, at


def _mapping(lines: list[str], at: int, indent: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while at < len(lines) and _indent(lines[at]) == indent:
        matched = KEY.match(lines[at].strip())
        if not matched:
            raise PlainYamlError(f"line {at + 1} has no key: {lines[at]}")
        key, rest = matched.groups()
        if key in found:
            raise PlainYamlError(f"line {at + 1}: {key} is there twice")
        found[key], at = _value(rest or "", lines, at + 1, indent + 1)
        at = _next(lines, at)
    if at < len(lines) and _indent(lines[at]) > indent:
        raise PlainYamlError(f"line {at + 1} is indented more than its neighbours")
    return found, at


def _value(text: str, lines: list[str], at: int, least: int) -> tuple[Any, int]:
    text = text.strip()
    if text in {"|", ">-"}:
        return _block(lines, at, least, folded=text == ">-")
    if not text or text.startswith("#"):
        below = _next(lines, at)
        if below < len(lines) and lines[below].lstrip().startswith("- "):
            least -= 1  # a list may stand as far left as its key
        return _node(lines, below, least)
    return _scalar(text), at


def _block(lines: list[str], at: int, least: int, *, folded: bool) -> tuple[str, int]:
    indent = _indent(lines[at])
    if indent < least:
        raise PlainYamlError(f"line {at + 1}: a block of text must be indented")
    taken = []
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at]) >= indent):
        taken.append(lines[at][indent:])
        at += 1
    text = "\n".join(taken).rstrip("\n")
    return (" ".join(text.split("\n")) if folded else text + "\n"), at


def _scalar(text: str) -> Any:
    quoted = re.fullmatch(r"\"([^\"\\]*)\"(?: +#.*)?|'([^']*)'(?: +#.*)?", text)
    if quoted:
        return quoted[1] if quoted[1] is not None else quoted[2]
    text = re.split(r" +#", text)[0].rstrip()
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    if text[0] in "{}[]&*!|>'\"%@`,?" or ": " in text or text.endswith(":"):
        raise PlainYamlError(f"needs quotes: {text}")
    return WORDS.get(text, int(text) if NUMBER.fullmatch(text) else text)
