"""What cells whose state is a diagonal, complex linear recurrence share.

A complex number is kept as two real ones, real part first: Inductor compiles no complex state.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional

from cellbench.cells.base import State
from cellbench.cells.scan import linear_scan

Pair: TypeAlias = tuple[Tensor, Tensor]
"""A complex tensor: its real and its imaginary part."""


class DiagonalState(NamedTuple):
    """A complex state, `[batch, ...]`."""

    re: Tensor
    im: Tensor


class DiagonalProjected(NamedTuple):
    """What such a cell makes of its inputs; what is kept of the state is the same at every step."""

    added_re: Tensor
    added_im: Tensor
    skip: Tensor
    kept_re: Tensor
    kept_im: Tensor


def times(a: Pair, b: Pair) -> Pair:
    """Return the product of two complex numbers, elementwise."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def over(a: Pair, b: Pair) -> Pair:
    """Return the quotient of two complex numbers, elementwise."""
    size = b[0].square() + b[1].square()
    re, im = times(a, (b[0], -b[1]))
    return re / size, im / size


def turn(p_t: DiagonalProjected, state: State) -> DiagonalState:
    """Return kept * state + added."""
    re, im = times((p_t.kept_re, p_t.kept_im), (state[0], state[1]))
    return DiagonalState(re + p_t.added_re, im + p_t.added_im)


def turn_through(p: DiagonalProjected, state: State) -> DiagonalState:
    """Return every state, `[time, batch, ...]`."""
    wide = state[0].dtype  # under autocast, what a layer makes has half of it
    added = torch.complex(p.added_re.to(wide), p.added_im.to(wide))
    kept = torch.complex(p.kept_re, p.kept_im).unsqueeze(1).expand_as(added)
    states = linear_scan(kept, added, torch.complex(state[0], state[1]))
    return DiagonalState(states.real, states.imag)


def real_part(
    c: Float[Tensor, "hidden both"], state: DiagonalState
) -> Float[Tensor, "*time batch hidden"]:
    """Return Re(C s); the columns of c are those of Re(C), then those of Im(C)."""
    return functional.linear(torch.cat([state.re, -state.im], dim=-1), c)


def last(states: DiagonalState) -> DiagonalState:
    """Return the state after the last step."""
    return DiagonalState(states.re[-1], states.im[-1])


def held(rate: Pair, step: Tensor) -> tuple[Pair, Pair]:
    """Discretise x' = rate x + u with u held over each step (zero-order hold).

    Returns:
        What is kept of x, exp(rate step), and by what u is multiplied, (exp(rate step) - 1) / rate;
        neither loses digits where rate step is small.
    """
    decay, angle = rate[0] * step, rate[1] * step
    size = torch.exp(decay)
    kept = size * torch.cos(angle), size * torch.sin(angle)
    less_one = torch.expm1(decay) * torch.cos(angle) - 2 * torch.sin(angle / 2).square()
    return kept, over((less_one, kept[1]), rate)


def bilinear(rate: Pair, step: Tensor) -> tuple[Pair, Pair]:
    """Discretise x' = rate x + u by the trapezoidal rule.

    Returns:
        What is kept of x, (1 + rate step / 2) / (1 - rate step / 2), and by what u is multiplied,
        step / (1 - rate step / 2).
    """
    half = rate[0] * step / 2, rate[1] * step / 2
    below = 1 - half[0], -half[1]
    return over((1 + half[0], half[1]), below), over((step, torch.zeros_like(step)), below)


DISCRETISATIONS = {"zoh": held, "bilinear": bilinear}


def normal_hippo(size: int) -> tuple[Complex[Tensor, "{size//2}"], Complex[Tensor, "{size} pairs"]]:
    """Return the eigenvalues above the real axis of the normal part of HiPPO-LegS.

    The matrix has -1/2 on its diagonal, and beside it -sqrt((n + 1/2) (k + 1/2)) below and the
    same with a plus above. Float64, eigenvectors beside; the other half are the conjugates.

    Source: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space
        Models", arXiv:2206.11893.
    """
    root = (torch.arange(size, dtype=torch.float64) + 0.5).sqrt()
    outer = root.unsqueeze(1) * root
    skew = outer.triu(1) - outer.tril(-1)
    frequencies, vectors = torch.linalg.eigh(-1j * skew)
    above = slice(size - size // 2, None)  # eigh sorts: the positive ones come last
    return torch.complex(torch.full_like(frequencies, -0.5), frequencies)[above], vectors[:, above]


def log_uniform(low: float, high: float, *shape: int) -> Float[Tensor, "..."]:
    """Draw logarithms of numbers from low to high, all orders of magnitude alike."""
    return torch.empty(*shape).uniform_(math.log(low), math.log(high))
