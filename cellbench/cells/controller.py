"""What drives the cells with a memory: an LSTM that is told what was read last."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from cellbench.cells.gates import apart, remember
from cellbench.cells.truncated_linear import truncated


def clipped(values: Float[Tensor, "*sizes"], limit: float) -> Float[Tensor, "*sizes"]:
    """Return `values` cut off at plus and minus `limit`; as they are if it is 0."""
    return values.clamp(-limit, limit) if limit else values


@final
class Controller(nn.Module):
    """Long short-term memory whose inputs are x_t and what was read at the step before.

        i, f, o, g = W_x x_t + W_h [r_{t-1}; h_{t-1}] + b                    stacked in this order
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)

    b starts at 1 for f, and at 0 elsewhere.

    Args:
        input_size: Features of each input vector.
        read_size: Features of r.
        size: Features of h and c.
    """

    def __init__(self, input_size: int, read_size: int, size: int) -> None:
        super().__init__()
        both = truncated(4 * size, input_size + read_size + size)  # one matrix of [x; r; h]
        self.weight_x = nn.Parameter(both[:, :input_size].clone())
        self.weight_h = nn.Parameter(both[:, input_size:].clone())
        self.bias = nn.Parameter(torch.zeros(4 * size))
        self.bias.detach()[size : 2 * size] = 1

    def project(self, x: Float[Tensor, "time batch input"]) -> Float[Tensor, "time batch gates"]:
        """Do what needs x only, for every time step at once."""
        return functional.linear(x, self.weight_x, self.bias)

    def forward(
        self,
        p_t: Float[Tensor, "batch gates"],
        reads: Float[Tensor, "batch reads"],
        h: Float[Tensor, "batch size"],
        c: Float[Tensor, "batch size"],
    ) -> tuple[Float[Tensor, "batch size"], Float[Tensor, "batch size"]]:
        """Return the next h and c."""
        gates = torch.addmm(p_t, torch.cat([reads, h], dim=-1), self.weight_h.t())
        o, c = remember(apart(gates, 4), c)
        return o * torch.tanh(c), c
