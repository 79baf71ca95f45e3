"""What the RWKV cells share: a look at the previous input, and the normalisation of heads."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def shifted(
    x: Float[Tensor, "time batch input"], last: Float[Tensor, "batch input"]
) -> Float[Tensor, "time batch input"]:
    """Return the input before each step; before the first, it is `last`."""
    return torch.cat([last.unsqueeze(0), x[:-1]])


def ramp(features: int, power: float) -> Float[Tensor, "features"]:
    """Return 1 - (n / features)^power for feature n: how much a feature looks back at first."""
    return 1 - (torch.arange(features) / features) ** power


@final
class HeadNorm(nn.Module):
    """Layer normalisation of each head, with a gain and a shift for each feature of all.

    Args:
        heads: How many.
        features: Of all heads together.
        eps: Added to each variance.
    """

    def __init__(self, heads: int, features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(heads, features // heads))
        self.shift = nn.Parameter(torch.zeros(heads, features // heads))

    def forward(
        self, o: Float[Tensor, "*batch heads value"]
    ) -> Float[Tensor, "*batch heads value"]:
        """Normalise each head."""
        normal = functional.layer_norm(o, o.shape[-1:], eps=self.eps)
        return torch.addcmul(self.shift, normal, self.gain)
