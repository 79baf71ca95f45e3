"""Embedding, cell, read-out: what every cell is trained as part of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellbench.cells.base import Cell, State
from cellbench.generators.base import Answers, Fields, Reads, Tokens
from cellbench.unroll import Carrier

ONE_HOT_UP_TO = 64
"""Tokens a vocabulary may have to be fed as one-hot vectors, as the published set-ups do.
Bigger ones get a learned embedding as wide as the hidden size."""


class OneHot(nn.Module):
    """Token ids as one-hot vectors; nothing is learned.

    Args:
        size: Distinct tokens.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.eye(size), persistent=False)

    def forward(self, ids: Tensor) -> Float[Tensor, "time batch size"]:
        return nn.functional.embedding(ids, self.rows)  # type: ignore[arg-type]  # a buffer


class OfFields(nn.Module):
    """Several ids a step: their one-hot vectors side by side, or the sum of learned vectors.

    Args:
        tables: What each field is looked up in.
        side_by_side: Or added up.
    """

    def __init__(self, tables: Sequence[nn.Module], *, side_by_side: bool) -> None:
        super().__init__()
        self.tables = nn.ModuleList(tables)
        self.side_by_side = side_by_side

    def forward(self, ids: Tensor) -> Float[Tensor, "time batch size"]:
        found = [table(column) for table, column in zip(self.tables, ids.unbind(-1), strict=True)]
        return torch.cat(found, -1) if self.side_by_side else torch.stack(found).sum(0)


class CellShapeError(Exception):
    """A cell gave outputs of another shape than its contract promises."""


class CarriedModel(nn.Module):
    """A cell between an embedding of a level's inputs and a read-out of its targets.

    Attributes:
        embedding: Makes inputs of the cell.
        cell: One, or a stack.
        readout: Makes answers of the cell's outputs.
        carrier: How the cell is carried through time.
    """

    embedding: nn.Module
    cell: Cell
    readout: nn.Module
    carrier: Carrier

    def forward(self, inputs: Tensor, *, start: int = 0) -> Float[Tensor, "answered *batch answer"]:
        """Return the answers from step `start` on: logits of classes, or values.

        Raises:
            CellShapeError: The cell's outputs are not `[time, batch, hidden_size]`.
        """
        return self.answer(inputs, start=start)[0]

    def answer(
        self, inputs: Tensor, *, start: int = 0, state: State | None = None
    ) -> tuple[Float[Tensor, "answered *batch answer"], State]:
        """Return the answers, as `forward` does, and what the cell remembers at the end.

        Args:
            inputs: What is read.
            start: The first step to answer at.
            state: What the cell remembers of what came before; None if nothing did.
        """
        x = self.embedding(inputs)
        hidden, state = self.carrier(self.cell, x, state)
        wanted = (*x.shape[:-1], self.cell.hidden_size)
        if tuple(hidden.shape) != wanted:
            axes = "time, batch, hidden" if x.ndim == 3 else "time, seeds, batch, hidden"  # noqa: PLR2004 -- no stack
            raise CellShapeError(
                f"the cell gave outputs of shape {list(hidden.shape)}; [{axes}] "
                f"is {list(wanted)} here"
            )
        answers: Tensor = self.readout(hidden[start:])
        return answers, state


class SequenceModel(CarriedModel):
    """One cell, with a linear read-out.

    Args:
        make_cell: `(input_size, hidden_size) -> Cell`.
        reads: What the level's inputs are made of.
        answers: What its targets are made of.
        hidden_size: Asked of the cell.
        carrier: How the cell is carried through time; None for a carrier of its own.
    """

    def __init__(
        self,
        make_cell: Callable[[int, int], Cell],
        reads: Reads,
        answers: Answers,
        hidden_size: int,
        carrier: Carrier | None = None,
    ) -> None:
        super().__init__()
        self.carrier = carrier or Carrier()
        features = input_features(reads, hidden_size)
        self.embedding = _embed(reads, features)
        self.cell = make_cell(features, hidden_size)
        self.readout = nn.Linear(self.cell.hidden_size, answers.size)


def input_features(reads: Reads, hidden_size: int) -> int:
    """Return the features that a cell is fed with."""
    if isinstance(reads, Tokens | Fields) and reads.size > ONE_HOT_UP_TO:
        return hidden_size
    return reads.size


def _embed(reads: Reads, features: int) -> nn.Module:
    if isinstance(reads, Tokens):
        small = reads.size <= ONE_HOT_UP_TO
        return OneHot(reads.size) if small else nn.Embedding(reads.size, features)
    if isinstance(reads, Fields):
        tables = [
            OneHot(size) if reads.size <= ONE_HOT_UP_TO else nn.Embedding(size, features)
            for size in reads.sizes
        ]
        return OfFields(tables, side_by_side=reads.size <= ONE_HOT_UP_TO)
    return nn.Identity()
