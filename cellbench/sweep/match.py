"""Widths that give all cells the same budget: of parameters, of state, or of operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from types import MappingProxyType

import torch

from cellbench.catalog import Task
from cellbench.cells.base import Cell
from cellbench.errors import OptionError
from cellbench.generators.stream import Stream
from cellbench.plugins import CellSpec, parse_cell
from cellbench.sweep.costs import operations_per_step, state_bytes
from cellbench.train.model import input_features
from cellbench.train.network import Network

REFERENCE = "lstm"
"""The cell whose budget all others get, at the width that was asked for."""

WIDEST = 1 << 15
GAP = 128
"""Between two widths that a cell can have, at most: heads that must divide it, and the like."""

Count = Callable[[int], int | None]
"""Of a width; None for one that the cell cannot have."""


def _parameters(cell: Cell, steps: int) -> int:
    del steps
    return sum(parameter.numel() for parameter in cell.parameters())


def _state(cell: Cell, steps: int) -> int:
    del steps  # it is of one size
    return state_bytes(cell, _inputs(cell, 1))


def _operations(cell: Cell, steps: int) -> int:
    return operations_per_step(cell, _inputs(cell, steps if cell.grows else 2))


def _inputs(cell: Cell, steps: int) -> torch.Tensor:
    like = next(cell.parameters())
    return torch.zeros(steps, 1, cell.input_size, dtype=like.dtype, device=like.device)


MATCHES: Mapping[str, Callable[[Cell, int], int]] = MappingProxyType(
    {"params": _parameters, "state": _state, "operations": _operations}
)
"""What can be matched -> how much of it a cell has on sequences of so many steps."""


def matched(
    match: str, network: Network, spec: CellSpec, task: Task, hidden: int
) -> tuple[int, int]:
    """Return the width that brings a cell nearest to the budget, and the budget.

    Args:
        match: A name of `MATCHES`.
        network: How cells are put together.
        spec: The cell.
        task: The level: inputs, and steps.
        hidden: Width of the cell whose budget it is.

    Raises:
        OptionError: The cell has no such size: its state grows with every step.
    """
    steps = _steps(task)
    budget = _counter(match, network, parse_cell(REFERENCE), task, steps)(hidden)
    assert budget is not None  # noqa: S101 -- lstm can have any width
    count = _counter(match, network, spec, task, steps)
    width, _ = nearest(count, budget)
    return width, budget


def _counter(match: str, network: Network, spec: CellSpec, task: Task, steps: int) -> Count:
    reads = task.generator.reads

    @cache
    def count(width: int) -> int | None:
        features = input_features(reads, width)
        try:
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                cell = network.build(spec.build, features, width)
        except OptionError:
            return None  # it could be built at another width, so it is the width that is wrong
        if match == "state" and cell.grows:
            raise OptionError(
                f"--match state: the state of {spec.text} grows with every step; match params or "
                "operations, or give it a tape of a fixed length."
            )
        return MATCHES[match](cell, steps)

    return count


@lru_cache
def _steps(task: Task) -> int:
    return len(task.generator.sample(Stream(0, "train"), torch.arange(1)).inputs)


def nearest(count: Count, budget: int) -> tuple[int, int]:
    """Return the width whose count is nearest to `budget`, and that count.

    Args:
        count: Grows with the width.
        budget: To come near to.

    Raises:
        OptionError: There is no width that the cell can have.
    """
    low, low_count = _from(count, 1)
    if low_count >= budget:
        return low, low_count
    high, high_count = low, low_count
    while high_count < budget and high < WIDEST:
        low, low_count = high, high_count
        high, high_count = _from(count, 2 * high)
    while True:  # low has less than the budget, high has not
        middle, middle_count = _from(count, (low + high) // 2)
        if middle >= high:  # nothing in the upper half
            middle, middle_count = _below(count, (low + high) // 2, low)
        if middle <= low:
            break
        if middle_count < budget:
            low, low_count = middle, middle_count
        else:
            high, high_count = middle, middle_count
    near_low, near_high = budget - low_count, abs(high_count - budget)
    return (low, low_count) if near_low < near_high else (high, high_count)


def _from(count: Count, width: int) -> tuple[int, int]:
    """Return the first width from here on that the cell can have, and its count."""
    for candidate in range(width, width + GAP + 1):
        found = count(candidate)
        if found is not None:
            return candidate, found
    raise OptionError(f"--match: the cell can have no width from {width} to {width + GAP}.")


def _below(count: Count, width: int, low: int) -> tuple[int, int]:
    """Return the last width up to here that the cell can have; `low` if there is none above it."""
    for candidate in range(width, low, -1):
        found = count(candidate)
        if found is not None:
            return candidate, found
    return low, 0
