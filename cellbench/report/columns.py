"""The columns of the tables that people read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cellbench.report import numbers
from cellbench.report.rows import Row


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and what it says of a row."""

    heading: str
    write: Callable[[Row], str]
    right: bool = True


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

LEGEND = (
    "skill: test, median over seeds (range); 0 = best without memory, 1 = perfect. "
    "solved: seeds that reached the mark. steps: median to solve, over all seeds. "
    "seq/s: in training. µs: one step of one sequence. MiB: peak of a training step. "
    "params: of the cell. state: bytes that one sequence carries (+: more with every step)."
)


def title(table: Sequence[Row]) -> str:
    """Say what all rows of a table have in common."""
    row = table[0]
    mark = numbers.mark(row.metric, row.solved_mark)
    return f"{row.level}  (solved: {mark}; without memory: {row.trivial:.4g})"


def caption(table: Sequence[Row]) -> str:
    """Say how the rows of a table were made."""
    row = table[0]
    machine = next((r.machine_name for r in table if r.machine_name), "not measured")
    made = f"hidden {row.hidden}, at most {row.budget_steps} steps of {row.batch} sequences"
    return f"{made}{', checkpointed' if row.checkpoint else ''}; {machine}"


def notes(table: Sequence[Row]) -> list[str]:
    """Return what must be known to believe the rows; what has one remedy stands in one line."""
    told: dict[str, list[str]] = {}
    for row in table:
        for note in row.notes:
            what, _, remedy = note.rpartition("; ")
            told.setdefault(remedy if what else "", []).append(f"{row.cell}: {what or remedy}")
    alone = told.pop("", [])
    return alone + [f"{', '.join(what)}; {remedy}" for remedy, what in told.items()]
