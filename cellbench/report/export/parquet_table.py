"""The long table as Parquet: columns with types, whichever of them are empty."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module
from typing import Any, get_type_hints

import msgspec

from cellbench.errors import OptionError
from cellbench.record import AnyLine
from cellbench.report.export.ask import Ask
from cellbench.report.export.values import Sample, Value, samples, values

NEEDS_PYARROW = "Parquet needs pyarrow: pip install 'cellbench[parquet]', or export --to csv."


def export(lines: Sequence[AnyLine], ask: Ask) -> dict[str, bytes]:
    """Return one file; what has no value is null there.

    Raises:
        OptionError: There is no pyarrow here.
        NothingMeasuredError: There is no record, or no timing to take samples of.
    """
    if ask.samples:
        return {"samples.parquet": _parquet(Sample, samples(lines))}
    return {"results.parquet": _parquet(Value, values(lines))}


def _parquet(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> bytes:
    try:
        pa, pq = import_module("pyarrow"), import_module("pyarrow.parquet")  # optional
    except ImportError:
        raise OptionError(NEEDS_PYARROW) from None
    names = kind.__struct_fields__
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    table = pa.table(columns, schema=pa.schema(_fields(kind, pa)))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _fields(kind: type[msgspec.Struct], pa: Any) -> list[tuple[str, Any]]:
    """Return the type of each column, so that one without a value has it too."""
    types = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    hints = get_type_hints(kind)
    return [
        (
            name,
            next(arrow for plain, arrow in types.items() if hints[name] in (plain, plain | None)),
        )
        for name in kind.__struct_fields__
    ]
