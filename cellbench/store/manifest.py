"""What was asked for in a results folder: a run a command, written before it starts."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from filelock import FileLock

from cellbench.errors import StoreError
from cellbench.record import SCHEMA


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One command.

    Attributes:
        run_id: Sortable: time, commit.
        argv: The command as it was typed, for doing it again.
        unit_ids: Every trial it asked for, finished earlier or not.
        measurement_count: Measurements it asked for.
        commit: Of the working directory, with "-dirty" when files differ from it.
        load_average: Of the machine at the start; None where unknown.
    """

    run_id: str
    argv: tuple[str, ...]
    unit_ids: tuple[str, ...]
    measurement_count: int
    started_at: str
    commit: str = ""
    load_average: float | None = None
    jobs: int = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All commands that wrote into one results folder, oldest first."""

    schema: int = SCHEMA
    runs: tuple[Run, ...] = ()


def read_manifest(path: Path) -> Manifest:
    """Return the manifest at `path`; an empty one where there is no file.

    Raises:
        StoreError: It is damaged, or from a newer cellbench.
    """
    if not path.exists():
        return Manifest()
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"{path} is damaged: {error}. Move it away; the results are in results.jsonl."
        ) from None
    if manifest.schema > SCHEMA:
        raise StoreError(f"{path} was written by a newer cellbench. Upgrade, or use --output.")
    return manifest


def add_run(path: Path, run: Run) -> None:
    """Append `run` to the manifest at `path`; a reader sees the old file or the new, whole."""
    with FileLock(f"{path}.lock"):
        manifest = read_manifest(path)
        whole = msgspec.structs.replace(manifest, runs=(*manifest.runs, run))
        text = msgspec.json.format(msgspec.json.encode(whole), indent=1)
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
