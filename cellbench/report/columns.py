"""The columns of the tables that people read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cellbench.report import numbers
from cellbench.report.rows import Row


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and what it says of a row."""

    heading: str
    write: Callable[[Row], str]
    right: bool = True


MATCHED_WITHIN = 0.02
"""How far from the budget a cell may be and still count as matched."""

COLUMNS = (
    Column("cell", lambda row: row.cell, right=False),
    Column("skill", numbers.skill),
    Column("solved", numbers.solved),
    Column("steps", numbers.steps),
    Column("seq/s", lambda row: numbers.short(row.train_sequences_per_s)),
    Column("µs", lambda row: numbers.short(row.streaming_us)),
    Column("MiB", lambda row: numbers.mebibytes(row.peak_allocated_bytes)),
    Column("params", lambda row: numbers.short(row.cell_parameters)),
    Column("state", lambda row: numbers.short(row.state_bytes) + "+" * row.state_grows),
)

MATCHED = (
    Column("width", lambda row: str(row.hidden)),
    Column("off", lambda row: numbers.off(row.matched)),
)
"""Columns of a table whose cells were given a width each, to match something."""

LADDER = (Column("to", numbers.reach),)
"""Columns of a table whose level is tested at other lengths."""

LEGEND = (
    "skill: test, median over seeds (range); 0 = best without memory, 1 = perfect. "
    "solved: seeds that reached the mark. steps: median to solve, over all seeds. "
    "seq/s: in training. µs: one step of one sequence. MiB: peak of a training step. "
    "to: longest length tested up to which skill stays at 0.9 or more. "
    "params: of the cell. state: bytes that one sequence carries (+: more with every step)."
)


def columns_of(table: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns that a table has."""
    first, *others = COLUMNS
    if any(row.ladder for row in table):
        others[1:1] = LADDER
    return (first, *(MATCHED if table[0].match else ()), *others)


def title(table: Sequence[Row]) -> str:
    """Say what all rows of a table have in common."""
    row = table[0]
    mark = numbers.mark(row.metric, row.solved_mark)
    return f"{row.level}  (solved: {mark}; without memory: {row.trivial:.4g})"


def caption(table: Sequence[Row]) -> str:
    """Say how the rows of a table were made."""
    row = table[0]
    machine = next((r.machine_name for r in table if r.machine_name), "not measured")
    made = f"{_built(row)}, at most {row.budget_steps} steps of {row.batch} sequences"
    rates = next((r.rates_tried for r in table if r.rates_tried), ())
    made += f", learning rate chosen of {len(rates)} on validation" if rates else ""
    return f"{made}{', checkpointed' if row.checkpoint else ''}; {machine}"


def _built(row: Row) -> str:
    """Say how wide cells are, and how they were put together."""
    kind = {"params": "parameters", "state": "bytes of state", "operations": "operations a step"}
    if row.match:
        parts = [f"{numbers.short(row.budget)} {kind[row.match]} each"]
    else:
        parts = [f"hidden {row.hidden}"]
    if row.depth > 1:
        parts.append(f"{row.depth} layers")
    if row.block != "plain":
        parts.append(f"{row.block} blocks")
    if row.dropout:
        parts.append(f"dropout {row.dropout:g}")
    if row.bidirectional:
        parts.append("both directions")
    return ", ".join(parts)


def notes(table: Sequence[Row]) -> list[str]:
    """Return what must be known to believe the rows; what has one remedy stands in one line."""
    told: dict[str, list[str]] = {}
    for row in table:
        for note in (*row.notes, *_mismatch(row)):
            what, _, remedy = note.rpartition("; ")
            told.setdefault(remedy if what else "", []).append(f"{row.cell}: {what or remedy}")
    alone = told.pop("", [])
    return alone + [f"{', '.join(what)}; {remedy}" for remedy, what in told.items()]


def _mismatch(row: Row) -> Iterator[str]:
    if row.matched is not None and abs(row.matched - 1) > MATCHED_WITHIN:
        yield (
            f"no width brings its {row.match} within {MATCHED_WITHIN:.0%} of the budget "
            f"({numbers.off(row.matched)}): not to be compared with the others"
        )
