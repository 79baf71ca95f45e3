"""What is known of each task: as a row of a list, as a sheet of its own, and as a page of all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import torch
from rich.text import Text

from cellbench.catalog import Task, load_tasks
from cellbench.generators.base import Batch, Fields, Tokens
from cellbench.generators.drawing import Row, drawing
from cellbench.generators.stream import Stream
from cellbench.report.markdown import markdown_table
from cellbench.report.numbers import mark

SHOWN, WAITED, ASKED = "cyan", "dim", "bold green"
"""Colours of a step: something is there to be remembered, nothing is, an answer is looked at."""

BLANK, NOTHING = ".", "0"
"""What the cells of an input are where there is nothing to see: of tokens, and of numbers."""

MOST_BLOCKS = 12
"""Of a drawing; the middle of a longer one is left out."""


class Card(msgspec.Struct, frozen=True, rename={"without_memory": "without memory"}):
    """A level in a line.

    Attributes:
        without_memory: Metric of the best predictor that sees no input: the zero of skill.
        solved: The mark.
        steps: Most training steps.
        ladder: Lengths at which what was learned is tested besides.
    """

    id: str
    without_memory: str
    solved: str
    steps: int
    ladder: list[int]
    summary: str
    source: str
    family: str = ""
    version: int = 1


def cards() -> list[Card]:
    """Return every level that ships, family by family."""
    return [card(task) for task in load_tasks().values()]


def card(task: Task) -> Card:
    """Return what stands in the list about one level."""
    return Card(
        id=task.id,
        without_memory=f"{task.trivial:.4g}",
        solved=mark(task.metric, task.solved),
        steps=task.budget.steps,
        ladder=list(task.ladder),
        summary=task.summary,
        source=task.source,
        family=task.family,
        version=task.version,
    )


def sheet(task: Task) -> Iterator[tuple[str, str]]:
    """Yield headings, and what stands under them, about a level."""
    generator, budget = task.generator, task.budget
    about = inspect.getdoc(type(generator)) or ""
    yield task.id, task.summary
    yield "Source", task.source
    yield "Differs from it", _section(about, "Differs from it:")
    yield "Settings", "\n".join(_settings(task, _section(about, "Attributes:", flat=False)))
    scored = [
        f"{mark(task.metric, task.solved)} on validation is solved",
        f"{task.trivial:.6g} without memory: skill 0",
        f"{task.perfect:g} by the oracle: skill 1",
        *(f"{value:.6g} by {who}" for who, value in generator.controls().items()),
    ]
    yield "Scored", "\n".join(scored)
    lengths = ", ".join(map(str, task.ladder))
    yield "Tested at lengths", lengths or "its own only"
    yield (
        "Budget",
        (
            f"at most {budget.steps} steps of {budget.batch} sequences, Adam at "
            f"{budget.learning_rate:g}, gradients cut to {budget.clip:g}; a look at "
            f"{budget.validation} sequences every {budget.validate_every} steps; "
            f"{budget.test} to report on"
        ),
    )
    yield "Version", f"{task.version}, digest {task.digest[:16]}"


def _section(text: str, name: str, *, flat: bool = True) -> str:
    """Return what a docstring says under `name`."""
    found = re.search(
        rf"^{re.escape(name)}(.*?)(?=^[A-Z][\w ]*:|\Z)", text, re.MULTILINE | re.DOTALL
    )
    if not found:
        return ""
    return " ".join(found[1].split()) if flat else inspect.cleandoc(found[1])


def _settings(task: Task, about: str) -> Iterator[str]:
    """Yield each setting with its value and its meaning."""
    told = dict(re.findall(r"^(\w+): (.*(?:\n +.*)*)", about, re.MULTILINE))
    for name, value in task.settings.items():
        yield f"{name}={value}: {' '.join(told.get(name, '').split())}"


def picture(task: Task, sequence: int, width: int) -> list[Text]:
    """Draw one sequence of the training stream under seed 0, as wide as a terminal.

    Args:
        task: The level.
        sequence: Its number.
        width: Columns.
    """
    batch = task.generator.sample(Stream(0, "train"), torch.tensor([sequence]))
    rows = drawing(task.generator, batch, 0)
    blank = BLANK if isinstance(task.generator.reads, Tokens | Fields) else NOTHING
    styles = _styles(rows, batch, blank)
    margin = max(len(row.label) for row in rows) + 2
    cell = max(len(text) for row in rows for text in row.cells) + 1
    steps = max((width - margin) // cell, 1)
    blocks = [slice(first, first + steps) for first in range(0, len(styles), steps)]
    found: list[Text] = []
    for place, block in enumerate(blocks):
        if len(blocks) > MOST_BLOCKS and place == MOST_BLOCKS // 2:
            left_out = sum(len(styles[b]) for b in blocks[place : -(MOST_BLOCKS // 2)])
            found += [Text(f"… {left_out} steps …", style=WAITED), Text()]
        if MOST_BLOCKS // 2 <= place < len(blocks) - MOST_BLOCKS // 2:
            continue
        found += [*_block(rows, styles, block, margin, cell), Text()]
    legend = Text()
    for name, style in (("shown", SHOWN), ("waited", WAITED), ("asked", ASKED)):
        legend.append(name, style=style).append("  ")
    return [*found, legend]


def _block(
    rows: Sequence[Row], styles: Sequence[str], block: slice, margin: int, cell: int
) -> Iterator[Text]:
    for row in rows:
        line = Text(row.label.ljust(margin))
        for text, style in zip(row.cells[block], styles[block], strict=True):
            line.append(text.rjust(cell - 1) + " ", style=style)
        line.rstrip()
        yield line


def _styles(rows: Sequence[Row], batch: Batch, blank: str) -> list[str]:
    """Return the colour of each step."""
    inputs = [row.cells for row in rows if row.label.startswith("input")]
    scored = batch.scored[:, 0].tolist()
    return [
        ASKED if is_asked else WAITED if set(cells) == {blank} else SHOWN
        for is_asked, *cells in zip(scored, *inputs, strict=True)
    ]


def families(found: Sequence[Card]) -> Mapping[str, list[Card]]:
    """Return the levels of each family, in their order."""
    grouped: dict[str, list[Card]] = {}
    for one in found:
        grouped.setdefault(one.family, []).append(one)
    return grouped


INTRODUCTION = """\
`cellbench show TASK` draws a sequence and says what is asked, scored and allowed; this page is
written by `make pages` from the task files.

*Without memory* is the metric of the best predictor that knows only at which step it is asked:
the zero of skill. It is worked out, and a test holds it to the same predictor fitted on training
sequences (`--cells trivial,position` puts both in a table). A test holds the oracle, which finds
the answers from the inputs alone, to be perfect at every level (`--cells oracle`)."""


def page() -> str:
    """Return `docs/tasks.md`."""
    found = cards()
    grouped = families(found)
    lines = ["# Tasks", "", f"{len(grouped)} tasks, {len(found)} levels. {INTRODUCTION}"]
    headings = ["level", "without memory", "solved", "steps", "ladder"]
    for family, members in grouped.items():
        lines += ["", f"## {family}", "", f"{members[0].summary} *{members[0].source}*", ""]
        rows = [
            [
                f"`{one.id}`",
                one.without_memory,
                one.solved,
                str(one.steps),
                ", ".join(map(str, one.ladder)) or "–",
            ]
            for one in members
        ]
        lines += markdown_table(headings, rows, [False, True, True, True, False])
    return "\n".join(lines) + "\n"
