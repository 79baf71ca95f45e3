"""What cells with several gates share. Rows and features of the gates are stacked in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def apart(
    stacked: Float[Tensor, "batch rows"], gates: int
) -> Float[Tensor, "{gates} batch features"]:
    """Return the gates one after the other, gate first; copies nothing."""
    batch, rows = stacked.shape
    return stacked.view(batch, gates, rows // gates).transpose(0, 1)


def by_gate(
    init: Callable[[Tensor], Tensor], weight: Float[Tensor, "rows columns"], gates: int = 4
) -> None:
    """Initialise each gate's block of rows as a matrix of its own."""
    for block in weight.detach().chunk(gates):
        init(block)


def forget_only(forget_bias: float) -> Float[Tensor, "4 1 1"]:
    """Return `forget_bias` at the second of four gates, and 0 at the others."""
    return torch.tensor([0.0, forget_bias, 0.0, 0.0]).view(4, 1, 1)


def remember(
    gates: Float[Tensor, "4 batch features"],
    c: Float[Tensor, "batch features"],
    drop: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch features"]]:
    """Return sigmoid(o), and c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * drop(tanh(g)).

    Args:
        gates: i, f, o, g, before squashing: so ordered, one sigmoid serves three.
        c: Of the step before.
        drop: Dropout of what is to be written; None for none.
    """
    ifo, g = torch.split(gates, [3, 1])
    i, f, o = torch.sigmoid(ifo).unbind(0)
    written = torch.tanh(g.squeeze(0))
    return o, torch.addcmul(f * c, i, written if drop is None else drop(written))


@final
class GateNorm(nn.Module):
    """Layer normalisation of each gate by itself.

        LN(y) = gain * (y - mean(y)) / sqrt(var(y) + eps) + shift

    Mean and variance are those of one gate of one sequence, never of all gates together;
    each gate has a gain and a shift of its own.

    Source: Ba et al. 2016, "Layer Normalization", arXiv:1607.06450.
    Differs from it: eps, which keeps a gate finite whose features are all equal.

    Args:
        gates: How many gates.
        features: Features of each gate.
        eps: Added to the variance.
    """

    def __init__(self, gates: int, features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(gates, 1, features))
        self.shift = nn.Parameter(torch.zeros(gates, 1, features))

    def forward(
        self, y: Float[Tensor, "gates batch features"]
    ) -> Float[Tensor, "gates batch features"]:
        """Normalise gates that were taken apart."""
        normal = functional.layer_norm(y, y.shape[-1:], eps=self.eps)
        return torch.addcmul(self.shift, normal, self.gain)
