"""Matrices that are made of their lowest frequencies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import final

import numpy as np
import torch
from jaxtyping import Inexact
from torch import Tensor, nn

MOST = 2.0
"""How far a rescaling to a spectral radius may go beyond what keeps the norm: two or three
coefficients may happen to have nearly none, and would be blown up."""


def cosines(size: int, like: Tensor) -> Inexact[Tensor, "{size} {size}"]:
    """Return the orthonormal DCT-II: row k is the wave of frequency k.

    Args:
        size: Of what is transformed.
        like: Whose device and dtype it gets. It is made in double precision: the angles of high
            frequencies are large.
    """
    k = torch.arange(size, dtype=torch.float64, device=like.device).unsqueeze(1)
    waves = torch.cos((math.pi / size) * k * (k.t() + 0.5))
    return (waves * torch.where(k > 0, 2.0, 1.0).div(size).sqrt()).to(like.dtype)


def zigzag(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Go through a matrix along its anti-diagonals, every second one upwards."""
    for n in range(rows + columns - 1):
        first, last = max(0, n - columns + 1), min(n, rows - 1)
        diagonal = [(i, n - i) for i in range(first, last + 1)]
        yield from diagonal if n % 2 else reversed(diagonal)


@final
class Frequencies(nn.Module):
    """One parameter of a cell, made of the lowest frequencies of its matrices.

        W = D_m^T C D_n             D: orthonormal DCT-II, C: 0 but for the coefficients
        W = alpha I + D_m^T C D_n   with `residual`, for each square block

    At the start W is what is left of the weight that is replaced, scaled to be as large.

    Args:
        weight: What is replaced, `[..., m, n]`.
        coefficients: How many to a matrix, at most; a smaller matrix has as many as entries.
        rows: Of each matrix, where `weight` is several of them stacked.
        side: Of the square blocks: n where the rows fall into such blocks, else 0.
        residual: Whether to add alpha I.
        spectral: Whether the largest spectral radius of the blocks of each matrix is kept, rather
            than its norm.
    """

    order: Tensor

    def __init__(
        self,
        weight: Tensor,
        *,
        coefficients: int,
        rows: int,
        side: int,
        residual: bool,
        spectral: bool,
    ) -> None:
        super().__init__()
        columns = weight.shape[-1]
        self.shape = weight.shape
        self.rows, self.columns, self.side = rows, columns, side
        places = list(islice(zigzag(rows, columns), coefficients))
        self.corner = (1 + max(i for i, _ in places), 1 + max(j for _, j in places))
        order = [i * self.corner[1] + j for i, j in places]
        self.register_buffer("order", torch.tensor(order), persistent=False)
        matrices = weight.detach().reshape(-1, rows, columns)
        self.coefficients = nn.Parameter(self._analysed(matrices))
        self.alpha: nn.Parameter | None = None
        if residual and side:
            self.alpha = nn.Parameter(weight.detach().new_zeros(weight.numel() // side**2))
        self._rescale(matrices, spectral=spectral and side > 0)

    def forward(self) -> Tensor:
        """Return W."""
        matrices = self._synthesised(self.coefficients)
        if self.alpha is not None:
            eye = torch.eye(self.side, dtype=self.alpha.dtype, device=self.alpha.device)
            matrices = matrices + (self.alpha.view(-1, 1, 1) * eye).reshape(matrices.shape)
        return matrices.reshape(self.shape)

    def _analysed(self, matrices: Tensor) -> Tensor:
        """Return the coefficients of matrices, in their order."""
        high, wide = self.corner
        rows, columns = cosines(self.rows, matrices), cosines(self.columns, matrices)
        corner = rows[:high] @ matrices @ columns[:wide].t()
        return corner.flatten(1)[:, self.order]

    def _synthesised(self, coefficients: Tensor) -> Tensor:
        """Return the matrices that have these coefficients, and no others."""
        high, wide = self.corner
        flat = coefficients.new_zeros(len(coefficients), high * wide)
        corner = flat.scatter(1, self.order.expand_as(coefficients), coefficients)
        rows, columns = cosines(self.rows, coefficients), cosines(self.columns, coefficients)
        return rows[:high].t() @ corner.view(-1, high, wide) @ columns[:wide]

    @torch.no_grad()
    def _rescale(self, matrices: Tensor, *, spectral: bool) -> None:
        """Make W as large as `matrices`, in norm or in spectral radius."""

        def size(made: Tensor) -> Tensor:
            return self._radii(made).amax(1) if spectral else made.flatten(1).norm(dim=1)

        norm = matrices.flatten(1).norm(dim=1)
        self.coefficients.mul_(_ratio(norm, self.coefficients.norm(dim=1)))
        wanted = size(matrices)
        found = size(self._synthesised(self.coefficients))
        self.coefficients.mul_(_ratio(wanted, found, most=MOST))
        if self.alpha is not None:  # as large as the rest, whose sum with it is then too large
            each = wanted if spectral else wanted / self.rows**0.5
            alphas = self.alpha.view(len(each), -1)
            alphas.copy_(each.unsqueeze(1))
            factor = _ratio(wanted, size(self().reshape(matrices.shape)))
            self.coefficients.mul_(factor)
            alphas.mul_(factor)

    def _radii(self, matrices: Tensor) -> Tensor:
        """Return the spectral radius of each square block of each matrix."""
        blocks = matrices.reshape(len(matrices), -1, self.side, self.side)
        found = np.linalg.eigvals(blocks.cpu().numpy())  # torch's fails on some CPUs at rank 1
        return torch.from_numpy(abs(found).max(-1)).to(blocks)


def _ratio(wanted: Tensor, found: Tensor, most: float = math.inf) -> Tensor:
    """Return by what to multiply; 1 where there is nothing to go by."""
    some = (wanted > 0) & (found > 0)
    ratio = torch.where(some, wanted / torch.where(some, found, 1.0), 1.0)
    return ratio.clamp(max=most).unsqueeze(1)
