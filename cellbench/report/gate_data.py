"""A gate's report as JSON, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import fields, replace

from cellbench.errors import StoreError
from cellbench.verdicts import Calibration, GateReport

SCHEMA = {field.name: field.default for field in fields(GateReport)}["schema"]
"""The newest that this cellbench reads."""


class _Version(msgspec.Struct):
    schema: int
    run_id: str


def to_json(report: GateReport) -> str:
    """Return the report itself; a number that is not finite, which JSON has not, is null.

    Shares of a calibration that are not finite are left out: they say "unknown".
    """
    places = {name: _writable(getattr(report, name)) for name in ("base", "journal")}
    report = replace(report, **places)
    if report.calibration is not None:
        report = replace(report, calibration=_finite(report.calibration))
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def read_gate_report(path: Path) -> GateReport:
    """Return the report that `to_json` wrote to a file.

    Raises:
        StoreError: There is no file, it was torn, is no gate's report, or is newer.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"Cannot read {path}: {error.strerror or error}. Name a file that "
            "`cellbench gate --json` wrote."
        ) from None
    try:
        version = msgspec.json.decode(text, type=_Version).schema
        if version <= SCHEMA:
            return msgspec.json.decode(text, type=GateReport)
    except msgspec.ValidationError as error:
        raise StoreError(
            f"{path} is no report of a gate: {error}. Name a file that `cellbench gate --json` "
            "wrote."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path} is damaged: {error}. Run the gate again, or make a report of its journal."
        ) from None
    raise StoreError(
        f"{path} was written by a newer cellbench (schema {version}, this one reads up to "
        f"{SCHEMA}). Upgrade cellbench."
    )


def _writable(path: str) -> str:
    """Return a path as text; bytes in it that are no text become "?"."""
    return path.encode(errors="replace").decode()


def _finite(known: Calibration) -> Calibration:
    return replace(
        known,
        floors=_only_finite(known.floors),
        detectable=_only_finite(known.detectable),
    )


def _only_finite(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: share for name, share in shares.items() if math.isfinite(share)}
