"""Changes for the worse that are meant to be: a file that is reviewed like code."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from cellbench.errors import OptionError, StoreError
from cellbench.report.history_rows import Change, Series

SHORTEST_COMMIT = 7

NEAR = 2
"""Commits by which a change may move when later ones tell better where it was."""


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change.

    Attributes:
        commit: The first one after it, or its first seven letters at least.
        reason: Why it is meant to be.
    """

    commit: str
    cell: str
    metric: str
    reason: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    acknowledged: tuple[Acknowledged, ...] = ()


def path_beside(history: Path) -> Path:
    """Return where acknowledgements are: `history-acknowledged.toml` beside `history.jsonl`."""
    return history.with_name(f"{history.stem}-acknowledged.toml")


def read_acknowledged(path: Path) -> tuple[Acknowledged, ...]:
    """Return what a file acknowledges; nothing if there is no file.

    Raises:
        StoreError: It is damaged, or an entry has no reason or too short a commit.
    """
    if not path.exists():
        return ()
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise StoreError(f"{path} cannot be read: {error}. Set it right.") from None
    for entry in found.acknowledged:
        if len(entry.commit) < SHORTEST_COMMIT or not entry.reason.strip():
            raise StoreError(
                f"{path}: {entry.commit!r} needs a reason, and {SHORTEST_COMMIT} letters at least."
            )
    return found.acknowledged


def write_acknowledged(path: Path, entry: Acknowledged, series: Sequence[Series]) -> Change:
    """Append an entry to the file; return the change that it acknowledges.

    Raises:
        OptionError: There is no such change for the worse in `series`, or there is no reason.
        StoreError: The file cannot be read or written.
    """
    before = read_acknowledged(path)
    if len(entry.commit) < SHORTEST_COMMIT or not entry.reason.strip():
        raise OptionError(f"Give a reason, and {SHORTEST_COMMIT} letters of the commit at least.")
    change = next((c for one in series for c in one.changes or () if _meant(entry, one, c)), None)
    if change is None:
        raise OptionError(
            f"{entry.cell} {entry.metric} has no change for the worse at {entry.commit}; "
            "`cellbench history show` names all."
        )
    fields = msgspec.structs.asdict(entry)
    lines = [f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in fields.items()]
    text = "\n".join(["[[acknowledged]]", *lines])
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{chr(10) if before else ''}{text}\n")
    except OSError as error:
        raise StoreError(f"Cannot write to {path}: {error.strerror or error}.") from None
    return change


def acknowledge(series: Iterable[Series], entries: Sequence[Acknowledged]) -> list[Series]:
    """Return the series with the reasons beside the changes that were acknowledged."""
    return [
        msgspec.structs.replace(
            one, changes=None if one.changes is None else tuple(_marked(one, entries))
        )
        for one in series
    ]


def _marked(series: Series, entries: Sequence[Acknowledged]) -> Iterable[Change]:
    for change in series.changes or ():
        reason = next((e.reason for e in entries if _meant(e, series, change)), "")
        yield msgspec.structs.replace(change, acknowledged=reason)


def idle(series: Sequence[Series], entries: Sequence[Acknowledged]) -> list[Acknowledged]:
    """Return the entries that acknowledge nothing: a misprint, or no longer needed."""
    return [
        entry
        for entry in entries
        if not any(_meant(entry, one, change) for one in series for change in one.changes or ())
    ]


def _meant(entry: Acknowledged, series: Series, change: Change) -> bool:
    if not change.worse or (series.cell, series.metric) != (entry.cell, entry.metric):
        return False
    near = 0 if series.exact else NEAR
    beside = series.entries[max(change.place - near, 0) : change.place + near + 1]
    return any(one.commit.startswith(entry.commit) for one in beside)
