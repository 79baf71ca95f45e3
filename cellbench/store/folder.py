"""A results folder: `manifest.json` and `results.jsonl`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cellbench.errors import StoreError
from cellbench.record import AnyLine
from cellbench.store.journal import Journal


class Folder:
    """Where one or more runs keep their results.

    Args:
        path: Need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path / "results.jsonl")
        self.manifest = path / "manifest.json"
        self.logs = path / "logs"

    def check_writable(self) -> None:
        """Raise StoreError unless files can be made there; leaves nothing behind."""
        nearest = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        try:
            if not nearest.is_dir():
                raise NotADirectoryError(f"{nearest} is a file")
            with tempfile.TemporaryFile(dir=nearest):
                pass
        except OSError as error:
            raise StoreError(
                f"Cannot write results to {self.path}: {error.strerror or error}. "
                "Choose another folder with --output."
            ) from None


def read_lines(path: Path) -> list[AnyLine]:
    """Return all lines of a results folder, or of a journal file.

    Raises:
        StoreError: There is neither, or a line is damaged or newer.
    """
    journal = Journal(path) if path.is_file() else Folder(path).journal
    if not journal.path.exists():
        raise StoreError(
            f"There are no results in {path}. Name a folder that `cellbench run` wrote to, "
            "or a .jsonl file."
        )
    return list(journal)
