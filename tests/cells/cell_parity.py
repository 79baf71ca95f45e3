"""Holding a cell to an implementation that is not ours, in values and gradients."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from cellbench.cells.base import Cell
from cellbench.unroll import stepwise

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
    ours: Run, theirs: Run, x: Tensor, state: Sequence[Tensor], leaves: Iterable[Tensor]
) -> None:
    """Compare all of `results`, where `leaves` are the weights that both depend on."""
    leaves = list(leaves)
    torch.testing.assert_close(
        results(ours, x, state, leaves), results(theirs, x, state, leaves), rtol=1e-10, atol=1e-12
    )


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def sigmoids_first(stacked: Tensor) -> Tensor:
    """Put gates stacked as i, f, g, o in the order i, f, o, g."""
    i, f, g, o = stacked.chunk(4)
    return torch.cat([i, f, o, g])


def foreign(name: str) -> ModuleType:
    """Import another project's module, or skip the test and say why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 -- it may fail for any reason, none of them ours
        pytest.skip(f"{name} cannot be imported: {error!r}")
