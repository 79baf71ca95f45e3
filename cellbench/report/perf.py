"""The report of `cellbench perf`, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cellbench.report.markdown import markdown_table
from cellbench.report.numbers import short
from cellbench.report.perf_plots import plots
from cellbench.report.perf_rows import SpeedRow, groups, notes
from cellbench.report.perf_scaling import Scaling, scalings
from cellbench.report.perf_sheets import Sheet, scaling_sheet, sheets

WIDEST_PLOT = 76

NARROWEST_CELL = 9
"""Columns that a cell's name has at least, if it needs them."""

LEGEND = (
    "T: steps; B: sequences; H: features of input and output. train: forward, and backward to "
    "inputs and parameters; no optimiser. infer: forward over whole sequences. 1 step: projection "
    "and one step, called from Python, of one sequence and of B. op: of matrix products, a "
    "multiply-add is two. B: bytes that must move at least. %: least time at the machine's "
    "measured ceilings, of the wall time; over 100% means that memory was a cache. ±: half the "
    "95% interval (Student's t over points); misfit: farthest point from the law."
)


def print_perf(rows: Sequence[SpeedRow], console: Console, *, drawn: bool) -> None:
    """Print tables, and plots if `drawn`, for each group of comparable rows."""
    for group in groups(rows):
        laws = _worth_showing(group)
        for sheet in (*sheets(group), *([scaling_sheet(laws)] if laws else [])):
            _print_sheet(sheet, console)
        console.print(Text(caption(group), style="dim"))
        for note in (*notes(group), *_lacking(laws)):
            console.print(Text(f"! {note}", style="yellow"))
        for lines in plots(group, width=min(WIDEST_PLOT, console.width)) if drawn else ():
            console.print()
            console.print(Text(lines[0]))
            for line in lines[1:]:
                console.print(Text(line), no_wrap=True, crop=False, overflow="ignore")
        console.print()
    console.print(Text(LEGEND, style="dim"))


def perf_markdown(rows: Sequence[SpeedRow], *, drawn: bool) -> str:
    """Return the same as Markdown; plots in code blocks."""
    parts = []
    for group in groups(rows):
        laws = _worth_showing(group)
        for sheet in (*sheets(group), *([scaling_sheet(laws)] if laws else [])):
            parts += [f"**{sheet.title}**", "", *_markdown(sheet), ""]
        parts += [caption(group), ""]
        told = [f"- {note}" for note in (*notes(group), *_lacking(laws))]
        parts += [*told, ""] if told else []
        for lines in plots(group, width=WIDEST_PLOT) if drawn else ():
            parts += ["```text", *lines, "```", ""]
    return "\n".join([*parts, LEGEND])


def caption(group: Sequence[SpeedRow]) -> str:
    """Say how the rows were made: way asked for, machine, and its ceilings."""
    first = group[0]
    found = [row.speed.ceilings for row in group if row.speed.ceilings]
    text = f"--unroll {first.speed.unroll}; {first.machine_name}"
    if not found:
        return text
    operations = [c.operations_per_s for c in found]
    moved = [c.bytes_per_s for c in found]
    return f"{text}; ceilings measured beside: {_range(operations)}op/s, {_range(moved)}B/s"


def _range(values: Sequence[float]) -> str:
    low, high = short(min(values)), short(max(values))
    return low if low == high else f"{low}…{high}"


def _worth_showing(group: Sequence[SpeedRow]) -> list[Scaling]:
    return [scaling for scaling in scalings(group) if scaling.law.exponents]


def _lacking(laws: Sequence[Scaling]) -> Iterator[str]:
    for text in dict.fromkeys(scaling.law.lacking for scaling in laws):
        if text:
            yield f"±?: {text}"


def _print_sheet(sheet: Sheet, console: Console) -> None:
    fit = _that_fit(sheet, console.width)
    console.print(Text(sheet.title, style="bold"))
    console.print(_table(sheet, fit))
    if fit < len(sheet.headings):
        missing = ", ".join(heading.replace("\n", " ") for heading in sheet.headings[fit:])
        console.print(Text(f"! no room for {missing}; widen the terminal", style="yellow"))


def _that_fit(sheet: Sheet, width: int) -> int:
    """Return how many columns, from the left, can stand beside the cells' names: a number that
    is cut short would be another number.
    """  # noqa: D205 -- one sentence, too long for a line
    room = width - 2  # the edges
    for place, heading in enumerate(sheet.headings):
        texts = [*heading.split("\n"), *(line[place] for line in sheet.body)]
        widest = max(map(len, texts))
        room -= 1 + (min(widest, NARROWEST_CELL) if heading == "cell" else widest)
        if room < -1:  # nothing stands behind the last
            return place
    return len(sheet.headings)


def _table(sheet: Sheet, fit: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for heading in sheet.headings[:fit]:
        if heading == "cell":
            table.add_column(heading, overflow="fold", min_width=NARROWEST_CELL)
        else:
            left = heading in sheet.left
            table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for line, failed in zip(sheet.body, sheet.failed, strict=True):
        table.add_row(*map(Text, line[:fit]), style="red" if failed else "")
    return table


def _markdown(sheet: Sheet) -> list[str]:
    headings = [heading.replace("\n", " ") for heading in sheet.headings]
    return markdown_table(headings, sheet.body, [h not in sheet.left for h in sheet.headings])
