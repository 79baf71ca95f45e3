"""What is known of each cell: as a row of a list, as a sheet of its own, and as a page of all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import msgspec
import torch

from cellbench.cells import CELLS, FAMILIES
from cellbench.cells.about import About, about, parity
from cellbench.cells.base import Cell, ParallelCell
from cellbench.plugins import CellSpec
from cellbench.report.markdown import markdown_table

LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "delta_rnn": "the delta rule with a recurrence through the output: its code runs on CUDA "
        "alone, and its equations could not be confirmed yet; `deltanet` is here",
        "deltaproduct": "later; `deltanet(beta=double)` is one factor of it",
        "linoss": "later",
        "rims": "modules that compete for the input: the public package is a stub, so there is "
        "nothing to hold it to yet",
        "rmc": "relational memory: later; `attention` and the external memories are here",
        "srupp": "a layer of attention with an SRU in it, whose code and tables could not be "
        "confirmed; `sru` and `attention` are here",
        "ttt": "test-time-training layers: later",
    }
)
"""Cells of the literature that are not here -> why."""

OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "attention of a fixed window": "attention(tape=N)",
        "cifg, nig, nfg, nog, ... (gating ablations)": "lstm_variant(kind=...)",
        "dct": "compressed",
        "gated antisymmetric": "antisymmetric(gated=True)",
        "lstm_chrono": "lstm(init=chrono)",
        "rwkv7": "rwkv",
        "rnn_relu": "rnn(nonlinearity=relu)",
        "xlstm": "slstm, mlstm; the blocks are --block residual",
    }
)
"""What a cell may be looked for as -> what it is here."""


class Card(msgspec.Struct, frozen=True):
    """A cell in a line.

    Attributes:
        form: "parallel" if it has a form for whole sequences, else "stepwise".
        state: "fixed", or "grows" with every step.
        checked: What it was held to, and the largest error.
    """

    id: str
    family: str
    form: str
    state: str
    year: int | None
    paper: str
    summary: str
    parameters: str
    checked: list[str]


def cards() -> list[Card]:
    """Return every cell of ours, family by family."""
    return [
        card(name, family, cell)
        for family, cells in FAMILIES.items()
        for name, cell in cells.items()
    ]


def card(name: str, family: str, make: Callable[..., Cell]) -> Card:
    """Return what stands in the list about one cell."""
    text = about(make)
    with torch.random.fork_rng(devices=[]):
        cell = make(3, 4)
    return Card(
        id=name,
        family=family,
        form=form(cell),
        state="grows" if cell.grows else "fixed",
        year=text.year,
        paper=text.paper,
        summary=text.summary.rstrip("."),
        parameters=text.parameters,
        checked=checked(name),
    )


def form(cell: Cell) -> str:
    """Tell whether there is a form for whole sequences."""
    return "parallel" if isinstance(cell, ParallelCell) else "stepwise"


def checked(name: str) -> list[str]:
    """Return what a cell was held to, and how closely."""
    return [f"{held}: {held.error:.0e}" for held in parity().get(name, [])]


def sheet(spec: CellSpec) -> Iterator[tuple[str, str]]:
    """Yield headings, and what stands under them, about a cell that was asked for by name.

    A cell from elsewhere says what its docstring says.
    """
    text = about(spec.factory)
    with torch.random.fork_rng(devices=[]):
        cell = spec.build(INPUT, HIDDEN)
    ours = bool(text.source and text.args)
    yield spec.text, text.summary if ours else inspect.getdoc(spec.factory) or "Says nothing."
    if ours:
        yield "Equations", "\n".join(_joined(inspect.cleandoc(text.equations)))
        yield "Source", text.source
        yield "Differs from it", text.differs
    yield "Form", _forms(cell)
    count = sum(parameter.numel() for parameter in cell.parameters())
    formula = f"{text.parameters} (X inputs, H hidden)\n" if text.parameters else ""
    yield "Parameters", f"{formula}{count} with {INPUT} inputs and {HIDDEN} hidden"
    if spec.name in CELLS:
        held = checked(spec.name) or ["nothing but its contract"]
        yield "Checked against", "\n".join(held)
    if ours:
        yield "Options", _options(spec, text)


INPUT, HIDDEN = 10, 64
"""Sizes of the cell on a sheet."""


def _forms(cell: Cell) -> str:
    state = "a state that grows with every step" if cell.grows else "a state of fixed size"
    whole = "a parallel form for whole sequences" if isinstance(cell, ParallelCell) else ""
    return " and ".join(filter(None, ("step by step", whole))) + f"; {state}"


def _options(spec: CellSpec, text: About) -> str:
    """Return the docstring's options, each with what it is if it is not given."""
    try:
        known = inspect.signature(spec.factory).parameters
    except (TypeError, ValueError):
        return text.args
    lines = []
    for line in _joined(text.args, indented=True):
        name, colon, rest = line.partition(": ")
        default = known[name].default if name in known else inspect.Parameter.empty
        if not colon or default is inspect.Parameter.empty:
            lines.append(line)
        else:
            lines.append(f"{name}={spec.options.get(name, default)}: {rest}")
    return "\n".join(lines)


def _joined(text: str, *, indented: bool = False) -> Iterator[str]:
    """Yield lines, with the lines of a paragraph joined.

    Args:
        text: Of a docstring.
        indented: Whether what is indented goes on with the line before; else it stands alone.
    """
    paragraph: list[str] = []
    for line in text.splitlines():
        goes_on = line.startswith(" ") == indented if paragraph else not line.startswith(" ")
        if line and goes_on:
            paragraph.append(line.strip())
            continue
        if paragraph:
            yield " ".join(paragraph)
        paragraph = []
        if indented and line:
            paragraph = [line]
        else:
            yield line
    if paragraph:
        yield " ".join(paragraph)


INTRODUCTION = """\
`cellbench show CELL` prints equations, options and sources; this page is written by
`make pages`, from their docstrings and from what the tests measured.

*Checked against*: an implementation that this project did not write, with its version, or the
paper's formulas written out apart in the test where there is none; always outputs, final state and
every gradient, float64 where the other can, from a state that is not zero, over 1, 2, 7 and 64
steps. Behind it the largest difference seen, relative to the largest value where that is above 1:
1e-15 is rounding in float64, 1e-7 in float32, in which some references compute. Besides that, each
cell has a value worked out by hand, its parameter count as a formula (X inputs, H hidden, the rest
are its options), the contract, and [mutations](mutations.md) that its tests must notice. What
others got wrong is on [a page of its own](errata.md)."""


def page() -> str:
    """Return `docs/cells.md`."""
    every = cards()
    lines = ["# Cells", "", f"{len(every)} cells. {INTRODUCTION}"]
    for family in FAMILIES:
        members = [one for one in every if one.family == family]
        if members:
            lines += ["", f"## {family}", "", *_table(members)]
    lines += ["", "## Under another name", ""]
    lines += [f"- {name}: `{here}`" for name, here in OTHER_NAMES.items()]
    lines += ["", "## Not here", ""]
    lines += [f"- `{name}`: {why}." for name, why in LEFT_OUT.items()]
    return "\n".join(lines) + "\n"


def _table(members: list[Card]) -> list[str]:
    headings = ["cell", "what", "paper", "form", "parameters", "checked against: largest error"]
    rows = [
        [
            f"`{one.id}`",
            one.summary,
            f"{one.paper}, {one.year}",
            one.form + (", state grows" if one.state == "grows" else ""),
            f"`{one.parameters}`",
            "; ".join(one.checked) or "–",
        ]
        for one in members
    ]
    return markdown_table(headings, rows, [False] * len(headings))
