"""Linear layers that start as those of Sonnet and haiku do, and so the cells of DeepMind."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn


def truncated(rows: int, columns: int) -> Float[Tensor, "{rows} {columns}"]:
    """Draw from N(0, 1/columns), and again what is beyond two deviations."""
    std = columns**-0.5
    return nn.init.trunc_normal_(torch.empty(rows, columns), std=std, a=-2 * std, b=2 * std)


@final
class TruncatedLinear(nn.Linear):
    """A linear layer whose weights start `truncated` and whose biases start at 0."""

    def reset_parameters(self) -> None:
        self.weight = nn.Parameter(truncated(self.out_features, self.in_features))
        nn.init.zeros_(self.bias)
