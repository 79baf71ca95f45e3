"""Holding a cell to an implementation that is not ours, in values and gradients.

What is found goes on the page of cells: `cellbench/cells/parity.json` says for each cell what it
was held to and how far the two were apart, and each test here holds that to be true.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import cellbench.cells
from cellbench.cells.base import Cell
from cellbench.unroll import stepwise

FORMULAS = "the paper's formulas, written out apart"
"""What a cell is held to of which there is no independent implementation."""

PAGE = Path(cellbench.cells.__file__).parent / "parity.json"

RECORD = "CELLBENCH_RECORD_PARITY"
"""Environment variable: a file that gets a line for every comparison, in place of holding the page
to it. `make pages` sets it."""

LN_3 = 1.0986122886681098
"""sigmoid(LN_3) = 3/4, sigmoid(-LN_3) = 1/4 and tanh(LN_3 / 2) = 1/2: exact values on paper."""

Run = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, tuple[Tensor, ...]]]
"""(x, state) -> (outputs, last state)."""


class _Runner(nn.Module):
    """`functional_call` wants a `forward`."""

    def __init__(self, cell: Cell, *, parallel: bool) -> None:
        super().__init__()
        self.cell = cell
        self.parallel = parallel

    def forward(self, x, state):
        p = self.cell.project(x)
        return self.cell.parallel(p, state) if self.parallel else stepwise(self.cell, p, state)


def with_weights(cell: Cell, weights: dict[str, Tensor], *, parallel: bool = False) -> Run:
    """Return `cell` as a function, with each of its parameters replaced by one of `weights`."""
    assert set(weights) == {name for name, _ in cell.named_parameters()}
    named = {f"cell.{name}": weight for name, weight in weights.items()}
    runner = _Runner(cell, parallel=parallel)
    return lambda x, state: torch.func.functional_call(runner, named, (x, state))


def results(run: Run, x: Tensor, state: Sequence[Tensor], leaves: Iterable[Tensor]) -> list[Tensor]:
    """Outputs, last state, and the gradients of a random sum of both in x, state and leaves."""
    inputs = [x, *state]
    for tensor in inputs:
        tensor.requires_grad_()
    y, last = run(x, tuple(state))
    random = torch.Generator().manual_seed(1)
    total = sum(
        (out * torch.randn(out.shape, generator=random, dtype=out.dtype)).sum()
        for out in (y, *last)
    )
    gradients = torch.autograd.grad(total, [*inputs, *leaves], materialize_grads=True)
    return [y, *last, *gradients]


def assert_same(
    ours: Run,
    theirs: Run,
    x: Tensor,
    state: Sequence[Tensor],
    leaves: Iterable[Tensor],
    *,
    cell: str,
    against: str,
    tolerance: float = 1e-10,
) -> None:
    """Compare all of `results`, and hold the page of cells to what was found.

    Args:
        ours: Our cell, see `with_weights`.
        theirs: What it is held to.
        x: Inputs `[time, batch, input]`.
        state: Before the first step; not zero.
        leaves: The weights that both depend on.
        cell: Its name in `CELLS`.
        against: `PACKAGE: WHAT` with the package as it is installed, such as
            "labml-nn: HyperLSTMCell"; or FORMULAS.
        tolerance: Largest difference that is rounding: absolute, and relative to the largest
            value of each tensor. More than 1e-10 only for what computes in float32.
    """
    leaves = list(leaves)
    found, right = results(ours, x, state, leaves), results(theirs, x, state, leaves)
    assert [f.shape for f in found] == [r.shape for r in right]
    error = max(difference(f, r) for f, r in zip(found, right, strict=True))
    note(cell, against, error)
    torch.testing.assert_close(error, 0.0, rtol=0, atol=tolerance)


def difference(found: Tensor, right: Tensor) -> float:
    """Return the largest difference, relative to the largest right value where that is above 1."""
    if not right.numel():
        return 0.0
    error = float((found - right).detach().abs().max() / right.detach().abs().max().clamp(min=1))
    return float("inf") if error != error else error  # noqa: PLR0124 -- NaN


def note(cell: str, against: str, error: float) -> None:
    """Write a comparison down for the page of cells; or hold the page to it."""
    package, _, what = against.rpartition(": ")
    version = importlib.metadata.version(package).partition("+")[0] if package else ""
    row = {"cell": cell, "package": package, "version": version, "what": what}
    if package == "torch":
        row.pop("version")  # cellbench runs with more than one
    if RECORD in os.environ:
        with Path(os.environ[RECORD]).open("a") as file:
            file.write(json.dumps(row | {"version": version, "error": error}) + "\n")
        return
    rows = [entry for entry in json.loads(PAGE.read_text()) if row.items() <= entry.items()]
    assert rows, f"the page of cells does not say that {cell} is held to {against}: `make pages`"
    # How two orders of adding differ depends on the machine; not by more than this.
    assert error <= 100 * rows[0]["error"] + 1e-13, "the page of cells is too good: `make pages`"


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def sigmoids_first(stacked: Tensor) -> Tensor:
    """Put gates stacked as i, f, g, o in the order i, f, o, g."""
    i, f, g, o = stacked.chunk(4)
    return torch.cat([i, f, o, g])


def foreign(name: str) -> ModuleType:
    """Import another project's module, or skip the test and say why.

    Where `CELLBENCH_PARITY` is "required", as `make` has it, the test fails instead.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:
        if os.environ.get("CELLBENCH_PARITY") == "required":
            raise
        pytest.skip(f"{name} cannot be imported: {error!r}")
