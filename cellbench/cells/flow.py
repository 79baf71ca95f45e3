"""A distribution that can be learned: normal numbers, moved by steps that can be undone."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

START = -7.0
"""The logarithm of every scale at the start."""

SPREAD = 1e-4
"""Standard deviation of the weights of a coupling at the start."""

FLOOR = 0.001
"""What a coupling adds to its scales, so that it can be undone whatever it learns."""


def log_normal(
    value: Float[Tensor, "*draws size"], mean: Tensor | float = 0.0, precision: float = 1.0
) -> Float[Tensor, "*draws"]:
    """Return the log density of independent normal numbers.

    Args:
        value: Where.
        mean: Theirs.
        precision: One over their variance.
    """
    each = math.log(precision / (2 * math.pi)) - precision * (value - mean) ** 2
    return each.sum(-1) / 2


@final
class Coupling(nn.Module):
    """Moves the second half of x by what the first half says.

        a   = relu(R x_1 + r)
        s   = exp(S a + s_0) + 0.001
        x_2 = s * x_2 + M a + m_0

    Args:
        size: Of x.
        hidden_size: Of a.
    """

    def __init__(self, size: int, hidden_size: int) -> None:
        super().__init__()
        self.first = size // 2
        self.read = nn.Linear(self.first, hidden_size)
        self.log_scale = nn.Linear(hidden_size, size - self.first)
        self.shift = nn.Linear(hidden_size, size - self.first)
        for layer in (self.read, self.log_scale, self.shift):
            nn.init.normal_(layer.weight, std=SPREAD)
            nn.init.zeros_(layer.bias)

    def forward(
        self, x: Float[Tensor, "*draws size"]
    ) -> tuple[Float[Tensor, "*draws size"], Float[Tensor, "*draws"]]:
        """Return x moved, and the log determinant of the Jacobian."""
        first, second, scale, shift = self._read(x)
        return torch.cat([first, scale * second + shift], dim=-1), scale.log().sum(-1)

    def inverse(self, x: Float[Tensor, "*draws size"]) -> Float[Tensor, "*draws size"]:
        """Return what `forward` moves to x."""
        first, second, scale, shift = self._read(x)
        return torch.cat([first, (second - shift) / scale], dim=-1)

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first, second = x[..., : self.first], x[..., self.first :]
        a = torch.relu(self.read(first))
        return first, second, self.log_scale(a).exp() + FLOOR, self.shift(a)


@final
class Flow(nn.Module):
    """Normal numbers, scaled and shifted one by one, and then moved by couplings.

        x = b_0 + exp(log s_0) * eps        eps ~ N(0, I)
        x = reverse(coupling(x))            as many times as there are couplings

    Source: Dinh et al. 2016, "Density estimation using Real NVP", arXiv:1605.08803.

    Args:
        size: Of eps and of x.
        couplings: How many.
        hidden_size: Of each coupling.
    """

    def __init__(self, size: int, couplings: int, hidden_size: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.full((size,), START))
        self.couplings = nn.ModuleList(Coupling(size, hidden_size) for _ in range(couplings))

    def forward(
        self, eps: Float[Tensor, "*draws size"]
    ) -> tuple[Float[Tensor, "*draws size"], Float[Tensor, "*draws"]]:
        """Return x, and the log determinant of its Jacobian: log q(x) is log N(eps) less that."""
        x = self.shift + self.log_scale.exp() * eps
        log_det = self.log_scale.sum().expand(eps.shape[:-1])
        for coupling in self.couplings:
            x, more = coupling(x)
            x = x.flip(-1)
            log_det = log_det + more
        return x, log_det

    def inverse(self, x: Float[Tensor, "*draws size"]) -> Float[Tensor, "*draws size"]:
        """Return the eps that becomes x."""
        return (self._before_couplings(x) - self.shift) / self.log_scale.exp()

    @torch.no_grad()
    def centre(self, x: Float[Tensor, "size"]) -> None:
        """Set b_0 such that eps = 0 becomes x."""
        self.shift.copy_(self._before_couplings(x))

    def _before_couplings(self, x: Tensor) -> Tensor:
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, Coupling)  # noqa: S101 -- a ModuleList has no type
            x = coupling.inverse(x.flip(-1))
        return x
