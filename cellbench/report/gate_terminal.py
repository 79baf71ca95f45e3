"""A gate's answer for people at a terminal: the answer first, then what to know to believe it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cellbench.report import gate_numbers as numbers
from cellbench.report import gate_rows as rows
from cellbench.report.gate_noise import noise
from cellbench.verdicts import Finding, GateReport, Verdict

STYLES = {
    Verdict.FAILED: "red",
    Verdict.MISSING: "red",
    Verdict.REGRESSED: "red",
    Verdict.CHANGED: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.IMPROVED: "green",
}

ANSWER_STYLES = {
    rows.Overall.PASSED: "bold green",
    rows.Overall.INCONCLUSIVE: "bold yellow",
}
"""Any other answer is bold and red."""

HEADINGS = ("cell", "metric", "base", "head", "ratio [95%]", "verdict")
NARROWEST = {"cell": 9, "metric": 10}
"""Columns that a name has at least, if it needs them; it may go on in the next line."""

LEGEND = (
    "ratio: head over base, above 1 is worse; in brackets its one-sided 95% bounds, each. Of "
    "skill, the difference. cannot tell: neither a pass nor a regression."
)


def print_gate(report: GateReport, console: Console) -> None:
    """Print the answer, a table, worst first, and everything that qualifies it."""
    style = ANSWER_STYLES.get(rows.overall(report), "bold red")
    console.print(Text(rows.answer(report), style=style))
    for warning in _void(report):
        console.print(Text(f"! {warning}", style="yellow"))
    console.print(Text(rows.sides(report), style="dim"))
    found = rows.listed(report)
    if found:
        _print_table(found, console)
    for remark in rows.remarks(report):
        console.print(Text(f"! {remark}", style="yellow"))
    for line in _facts(report):
        console.print(Text(line, style="dim"))
    if found:
        console.print(Text(LEGEND, style="dim"))


def _void(report: GateReport) -> Iterator[str]:
    if report.void:
        yield "void: believe nothing of the below; see to that, and run it again"


def _facts(report: GateReport) -> Iterator[str]:
    """Yield what is true of the whole gate."""
    count = rows.counted(report)
    if count and count not in rows.answer(report):
        yield count
    yield rows.control(report)
    yield from noise(report)
    yield rows.ending(report)


def _print_table(found: Sequence[Finding], console: Console) -> None:
    texts = [line(finding) for finding in found]
    shown = _that_fit(texts, console.width)
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for place in shown:
        heading = HEADINGS[place]
        if heading in NARROWEST:
            table.add_column(heading, overflow="fold", min_width=NARROWEST[heading])
        else:
            left = heading == "verdict"
            table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for finding, cells in zip(found, texts, strict=True):
        style = STYLES.get(finding.verdict, "")
        table.add_row(*(Text(cells[place]) for place in shown), style=style)
    console.print(table)
    if len(shown) < len(HEADINGS):
        missing = ", ".join(heading for n, heading in enumerate(HEADINGS) if n not in shown)
        console.print(Text(f"! no room for {missing}; widen the terminal", style="yellow"))


def line(finding: Finding) -> tuple[str, ...]:
    """Return what stands in each column."""
    base, head = numbers.both(finding)
    names = (rows.one_line(finding.cell), rows.one_line(finding.metric))
    return (*names, base, head, numbers.ratio(finding), rows.verdict(finding))


def _that_fit(texts: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the columns that can stand beside each other; base and head go first."""
    needed = [
        min(max(len(heading), *(len(cells[n]) for cells in texts)), NARROWEST.get(heading, width))
        for n, heading in enumerate(HEADINGS)
    ]
    every = list(range(len(HEADINGS)))
    for left_out in ((), (2,), (2, 3), (2, 3, 4)):
        shown = [n for n in every if n not in left_out]
        if sum(needed[n] + 1 for n in shown) + 1 <= width:
            return shown
    return [n for n in every if n not in (2, 3, 4)]
