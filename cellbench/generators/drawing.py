"""One sequence as rows of text: what is shown, and what is asked when."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from cellbench.generators.base import (
    Answers,
    Batch,
    Fields,
    Generator,
    Odds,
    Reads,
    Sets,
    Tokens,
)

NOT_SCORED = "-"
"""Stands where no answer is looked at."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a drawing.

    Attributes:
        label: What it shows.
        cells: A text for every step.
    """

    label: str
    cells: tuple[str, ...]


def drawing(generator: Generator, batch: Batch, place: int) -> list[Row]:
    """Draw the sequence at `place` of a batch that `generator` drew.

    Rows: `input`, of several fields or features `input 0`, `input 1` and so on; `target`
    likewise, with `-` where nothing is scored; `trained`, if the loss looks elsewhere than the
    metric; `bits`, what a target costs whoever knows its odds.
    """
    scored = batch.scored[:, place].tolist()
    rows = _shown(generator.reads, batch.inputs[:, place])
    rows += [
        Row(row.label, _where(scored, row.cells))
        for row in _asked(generator.answers, batch.targets[:, place])
    ]
    trained = batch.trained[:, place].tolist()
    if trained != scored:
        rows.append(Row("trained", _where(trained, ("x",) * len(trained))))
    if batch.optimum is not None:
        bits = (batch.optimum[:, place].double() / math.log(2)).tolist()
        rows.append(Row("bits", _where(scored, _numbers(bits))))
    return rows


def as_text(rows: list[Row]) -> str:
    """Return the rows one below the other, all steps equally wide."""
    margin = max(len(row.label) for row in rows) + 2
    width = max(len(cell) for row in rows for cell in row.cells)
    return "\n".join(
        row.label.ljust(margin) + " ".join(cell.rjust(width) for cell in row.cells) for row in rows
    )


def _shown(space: Reads, values: Tensor) -> list[Row]:
    if isinstance(space, Tokens):
        return [Row("input", _named(space.glyphs, values))]
    if isinstance(space, Fields):
        glyphs = space.glyphs or ((),) * len(space.sizes)
        columns = zip(glyphs, values.unbind(1), strict=True)
        return _labelled("input", [_named(names, column) for names, column in columns])
    return _labelled("input", [_numbers(column.tolist()) for column in values.unbind(1)])


def _asked(space: Answers, values: Tensor) -> list[Row]:
    if isinstance(space, Tokens | Odds):
        return [Row("target", _named(space.glyphs, values))]
    if isinstance(space, Sets):
        names = space.glyphs or tuple(map(str, range(space.size)))
        members = [
            "".join(name for name, there in zip(names, row, strict=True) if there)
            for row in values.bool().tolist()
        ]
        return [Row("target", tuple(members))]
    return _labelled("target", [_numbers(column.tolist()) for column in values.unbind(1)])


def _labelled(label: str, columns: list[tuple[str, ...]]) -> list[Row]:
    if len(columns) == 1:
        return [Row(label, columns[0])]
    return [Row(f"{label} {place}", cells) for place, cells in enumerate(columns)]


def _named(glyphs: str | tuple[str, ...], ids: Tensor) -> tuple[str, ...]:
    return tuple(glyphs[one] if glyphs else str(one) for one in ids.tolist())


def _numbers(values: list[float]) -> tuple[str, ...]:
    """Write whole numbers as such if all are, else two digits after the point."""
    if all(value == round(value) for value in values):
        return tuple(f"{value:.0f}" for value in values)
    return tuple(f"{value:.2f}".replace("0.", ".", 1) for value in values)


def _where(asked: list[bool], cells: tuple[str, ...]) -> tuple[str, ...]:
    pairs = zip(asked, cells, strict=True)
    return tuple(cell if is_asked else NOT_SCORED for is_asked, cell in pairs)
