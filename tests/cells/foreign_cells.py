"""Other projects' cells, which take a step, carried over a sequence."""

from __future__ import annotations

import torch
from cell_parity import Run, draw
from torch import Tensor, nn


def carried(cell: nn.Module, weights: dict[str, Tensor], *rest: float) -> Run:
    """Return a cell as a function of a sequence; its first result is what it puts out.

    Args:
        cell: Takes an input, the state (a tensor, or a tuple of some) and the rest.
        weights: In place of its parameters.
        rest: See there.
    """

    def run(x, state):
        outputs = []
        for x_t in x:
            before = state[0] if len(state) == 1 else tuple(state)
            after = torch.func.functional_call(cell, weights, (x_t, before, *rest))
            state = (after,) if isinstance(after, Tensor) else tuple(after)[-len(state) :]
            outputs.append(after if isinstance(after, Tensor) else after[0])
        return torch.stack(outputs), state

    return run


def random_weights(cell: nn.Module, scale: float = 0.6) -> dict[str, Tensor]:
    """Return weights for a cell, all of them random: also what starts as 0 or 1."""
    return {
        name: (scale * draw(*parameter.shape, seed=100 + n)).requires_grad_()
        for n, (name, parameter) in enumerate(cell.named_parameters())
    }


def set_to(cell: nn.Module, values: dict[str, list[float]]) -> nn.Module:
    """Give every parameter of a cell the values listed for it, in float64."""
    assert set(values) == {name for name, _ in cell.named_parameters()}
    for name, value in values.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value).double().view(parameter.shape)
    return cell.double()
