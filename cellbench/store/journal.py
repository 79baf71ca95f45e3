"""An append-only file of records, one JSON line each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from filelock import FileLock

from cellbench.errors import StoreError
from cellbench.record import SCHEMA, AnyLine, Environment, Line, Measurement, Speed, Trial

TAIL_BYTES = 1 << 16
"""How far back to look, at a time, for the end of the last whole line."""


class _Version(msgspec.Struct):
    schema: int


_read_version = msgspec.json.Decoder(_Version).decode
_write_line = msgspec.json.Encoder().encode


class Journal:
    """Lines in `path`, a JSON Lines file, only ever appended to.

    A record is on disk before the next unit begins, so a run that dies loses what it was doing
    and nothing more. A last line cut short by such a death is skipped, and removed by the next
    append; damage anywhere else is an error, since something other than cellbench wrote there.
    Two processes may append to one journal.

    Args:
        path: The file; made, with its folder, by the first append.
        kind: Of lines that are in it: a struct, or a union of them.
    """

    def __init__(self, path: Path, kind: Any = AnyLine) -> None:
        self.path = path
        self._read_line = msgspec.json.Decoder(kind).decode

    def append(self, line: Line) -> None:
        """Write `line`, and wait until it is on disk.

        Raises:
            StoreError: It cannot be written.
        """
        text = _write_line(line) + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"), self.path.open("a+b") as file:
                file.truncate(_end_of_last_line(file))
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(
                f"Cannot write to {self.path}: {error.strerror or error}. What was written before "
                "is whole; make room or choose another --output, and run the same command again."
            ) from None

    def __iter__(self) -> Iterator[Any]:
        """Yield the lines, oldest first.

        Raises:
            StoreError: A line is damaged, or written by a newer cellbench.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if text.endswith(b"\n"):
                    yield self._read(number, text)

    def _read(self, number: int, text: bytes) -> Any:
        try:
            found = _read_version(text).schema
            if found <= SCHEMA:
                return self._read_line(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{self.path}:{number} is damaged: {error}. "
                "Restore the file from a copy, or take that line out."
            ) from None
        raise StoreError(
            f"{self.path}:{number} was written by a newer cellbench (schema {found}, this one "
            f"reads up to {SCHEMA}). Upgrade cellbench, or choose another --output."
        )


def is_torn(path: Path) -> bool:
    """Return whether the last line was cut short: something is missing that had been measured."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _end_of_last_line(file: BinaryIO) -> int:
    """Return the offset just behind the last newline: 0 where there is none."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - TAIL_BYTES)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + int(found) + 1
        end = start
    return 0


def trials(lines: Iterable[AnyLine]) -> list[Trial]:
    """Return the trials among `lines`; of one unit tried again, the newest."""
    return list({line.unit_id: line for line in lines if isinstance(line, Trial)}.values())


def measurements(lines: Iterable[AnyLine]) -> list[Measurement]:
    """Return the measurements among `lines`; of one repeated, the newest."""
    found = {m.measurement_id: m for m in lines if isinstance(m, Measurement)}
    return list(found.values())


def speeds(lines: Iterable[AnyLine]) -> list[Speed]:
    """Return the speeds among `lines`; of one repeated, the newest."""
    return list({line.speed_id: line for line in lines if isinstance(line, Speed)}.values())


def environments(lines: Iterable[AnyLine]) -> dict[str, Environment]:
    """Return the environments among `lines`, by digest."""
    return {line.digest: line for line in lines if isinstance(line, Environment)}
