"""The controller of the cells with a memory, apart: its formula, and a step of it on paper."""

import torch
from cell_parity import LN_3
from torch import Tensor, nn

BY_HAND = {
    "controller.weight_x": [LN_3, LN_3, -LN_3, LN_3],
    "controller.weight_h": [n * LN_3 for n in (1, -1 / 2, -1, 1 / 2, 1, -1 / 2, -1 / 2, 1 / 4)],
    "controller.bias": [0, -LN_3, 0, -LN_3 / 2],
}
"""From x = 1, r = 1, h = 2, c = ln 3 - 3/4, in units of ln 3:

    i:  1 + 1   - 2/2       =  1    sigmoid 3/4
    f:  1 - 1   + 2/2 - 1   =  0    sigmoid 1/2
    o: -1 + 1   - 2/2       = -1    sigmoid 1/4
    g:  1 - 1/2 + 2/4 - 1/2 = 1/2   tanh    1/2

so that c = 1/2 (ln 3 - 3/4) + 3/4 * 1/2 = ln 3 / 2, and h = 1/4 * 1/2 = 1/8.
"""

START = {"h": 2.0, "c": LN_3 - 3 / 4}
END = (1 / 8, LN_3 / 2)


def set_weights(cell: nn.Module, values: dict[str, list[float]]) -> None:
    """Give parameters of a cell these values."""
    for name, value in values.items():
        parameter = cell.get_parameter(name)
        parameter.data = torch.tensor(value, dtype=torch.float64).view(parameter.shape)


def lstm(weights: dict[str, Tensor], told: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return h and c of one sequence, told x_t and what was read."""
    both = torch.cat([weights["controller.weight_x"], weights["controller.weight_h"]], dim=1)
    i, f, o, g = (both @ torch.cat([told, h]) + weights["controller.bias"]).chunk(4)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def assert_starts_truncated(weight: Tensor, columns: int) -> None:
    """Hold weights to a normal distribution of 1/sqrt(columns), cut off at two deviations.

    What is left of it has a deviation of 0.88.
    """
    assert weight.shape[1] == columns
    assert abs(weight.std().item() / (0.88 * columns**-0.5) - 1) < 0.07
    assert 1.7 * columns**-0.5 < weight.abs().max().item() <= 2 * columns**-0.5
