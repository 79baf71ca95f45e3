"""A short causal convolution of each feature by itself, whose window is part of a state."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn


@final
class ShortConv(nn.Module):
    """A weighted sum of the last few values of each feature.

        y_t = sum_i w_i * x_{t-i}        i = 0 ... size - 1

    Args:
        size: How many values, x_t included.
        features: Features of x and y.
    """

    def __init__(self, size: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, features))  # that of x_t is the last
        nn.init.uniform_(self.weight, -(size**-0.5), size**-0.5)

    def window(self, batch: int) -> Float[Tensor, "batch before features"]:
        """Return the values before the first step, which are zeros."""
        size, features = self.weight.shape
        return self.weight.new_zeros(batch, size - 1, features)

    def step(
        self, x: Float[Tensor, "batch features"], window: Float[Tensor, "batch before features"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch before features"]]:
        """Return y_t, and the window with x_t in it."""
        window = torch.cat([window, x.unsqueeze(1)], dim=1)
        return (window * self.weight).sum(1), window[:, 1:]

    def sequence(
        self,
        x: Float[Tensor, "time batch features"],
        window: Float[Tensor, "batch before features"],
    ) -> tuple[Float[Tensor, "time batch features"], Float[Tensor, "batch before features"]]:
        """Return every y_t, and the last window."""
        time = len(x)
        values = torch.cat([window.transpose(0, 1), x])
        y = torch.stack([w * values[n : n + time] for n, w in enumerate(self.weight)]).sum(0)
        return y, values[time:].transpose(0, 1)
