"""Weights drawn or set for a test, and cells of other projects run a step at a time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from cell_parity import Run, assert_same, draw, foreign, with_weights
from torch import Tensor, nn

from cellbench.cells.base import Cell
from cellbench.unroll import unroll


def drawn(cell: Cell, std: float = 0.6) -> dict[str, Tensor]:
    """Return weights for all parameters, also for those that start at 0."""
    return {
        name: (std * draw(*parameter.shape, seed=100 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }


def assert_same_when_warm(
    ours: Cell, weights: dict[str, Tensor], theirs: Run, time: int, *, cell: str, against: str
) -> None:
    """Compare two cells, see `assert_same`, on random inputs and from a random state."""
    state = ours.initial_state(4)
    assert_same(
        with_weights(ours, weights),
        theirs,
        draw(time, 4, ours.input_size),
        [draw(*part.shape, seed=1 + n) for n, part in enumerate(state)],
        weights.values(),
        cell=cell,
        against=against,
    )


def by_hand(
    cell: Cell, weights: dict[str, Sequence[float]], x: Sequence[float], *state: Sequence[float]
) -> list[list[float]]:
    """Return the output and each part of the state, after one step from `state`."""
    assert set(weights) == {name for name, _ in cell.named_parameters()}
    cell.double()
    for name, values in weights.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(values, dtype=torch.float64).view(parameter.shape)
    kind = type(cell.initial_state(1))
    start = kind(*(torch.tensor([part], dtype=torch.float64) for part in state))
    y, last = unroll(cell, torch.tensor([[x]], dtype=torch.float64), start)
    return [part.flatten().tolist() for part in (y, *last)]


def near(*parts: Sequence[float]) -> list[object]:
    """Return what `by_hand` should give."""
    return [pytest.approx(list(part), abs=1e-9) for part in parts]


def stepped(module: nn.Module, weights: dict[str, Tensor]) -> Run:
    """Return `module(x_t, state) -> next state`, h first, as a function of all of time.

    A state of one part is handed over by itself, as `nn.GRUCell` has it.

    Args:
        module: Another project's cell.
        weights: By their names there; made from ours, so that gradients reach ours.
    """
    assert set(weights) == {name for name, _ in module.named_parameters()}

    def run(x, state):
        outputs = []
        for x_t in x:
            given = state if len(state) > 1 else state[0]
            after = torch.func.functional_call(module, weights, (x_t, given))
            state = after if isinstance(after, tuple) else (after,)
            outputs.append(state[0])
        return torch.stack(outputs), tuple(state)

    return run


def torchrecurrent(name: str, weights: dict[str, Tensor]) -> Run:
    """Return a cell of torchrecurrent of 3 inputs and 5 hidden features, see `stepped`."""
    return stepped(getattr(foreign("torchrecurrent"), name)(3, 5).double(), weights)


def assert_uniform(parameter: Tensor, reach: float) -> None:
    """Hold what was drawn to U(-reach, reach); several hundred numbers are enough."""
    values = parameter.detach().flatten()
    assert values.abs().max() <= reach
    assert values.std().item() == pytest.approx(reach / 3**0.5, rel=0.1)
    assert abs(values.mean().item()) < 0.15 * reach


def assert_starts_as_in_torch(cell: Cell, *apart: str) -> None:
    """Hold all parameters but those named to U(-1/sqrt(H), 1/sqrt(H)); H of 64 or more."""
    for name, parameter in cell.named_parameters():
        if name not in apart:
            assert_uniform(parameter, cell.hidden_size**-0.5)
