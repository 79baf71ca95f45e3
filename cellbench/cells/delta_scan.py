"""A recurrence of a matrix that reads itself before it is written: step by step, and in chunks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from cellbench.cells.matrix_scan import chunks, from_the_start, to_the_end

CHUNK = 32
"""Steps, a power of two: as in `matrix_scan`."""


def unit_length(x: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
    """Return x / sqrt(|x|^2 + 1e-6): the direction of x, but 0 where x is 0.

    Without the 1e-6, the gradient at 0, where inputs of zeros and no bias lead, is infinite.
    """
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def delta_step(
    q: Float[Tensor, "*batch key"],
    k: Float[Tensor, "*batch key"],
    v: Float[Tensor, "*batch value"],
    beta: Float[Tensor, "*batch 1"],
    state: Float[Tensor, "*batch key value"],
) -> tuple[Float[Tensor, "*batch value"], Float[Tensor, "*batch key value"]]:
    """Return y = S'^T q and S' = S + beta k (v - S^T k)^T; S is `state`, decayed if it is to be."""
    wrong = v - (state * k.unsqueeze(-1)).sum(-2)
    state = state + (beta * k).unsqueeze(-1) * wrong.unsqueeze(-2)
    return (state * q.unsqueeze(-1)).sum(-2), state


def delta_rule(
    q: Float[Tensor, "time *batch key"],
    k: Float[Tensor, "time *batch key"],
    v: Float[Tensor, "time *batch value"],
    beta: Float[Tensor, "time *batch 1"],
    *,
    log_decay: Float[Tensor, "time *batch #key"],
    state: Float[Tensor, "*batch key value"],
) -> tuple[Float[Tensor, "time *batch value"], Float[Tensor, "*batch key value"]]:
    """Return every y_t, and S_t after the last step, of a decay followed by a `delta_step`.

        S'_t = diag(exp(log_decay_t)) S_{t-1}
        S_t  = S'_t + beta_t k_t (v_t - S'_t^T k_t)^T
        y_t  = S_t^T q_t

    Args:
        q: What is read.
        k: Where it is written.
        v: What is to be read there from now on.
        beta: How much of the way there.
        log_decay: At most 0, and finite; one number for all keys, or one each.
        state: S_0.
    """
    a, b = -log_decay.exp() * k, beta * k
    return low_rank_scan(q, a, b, v, log_decay=log_decay, state=state)


def low_rank_scan(
    q: Float[Tensor, "time *batch key"],
    a: Float[Tensor, "time *batch key"],
    b: Float[Tensor, "time *batch key"],
    c: Float[Tensor, "time *batch value"],
    *,
    log_decay: Float[Tensor, "time *batch #key"],
    state: Float[Tensor, "*batch key value"],
    also: tuple[Float[Tensor, "time *batch key"], Float[Tensor, "time *batch value"]] | None = None,
) -> tuple[Float[Tensor, "time *batch value"], Float[Tensor, "*batch key value"]]:
    """Return every y_t, and S_t after the last step.

        u_t = c_t + S_{t-1}^T a_t
        S_t = diag(exp(log_decay_t)) S_{t-1} + b_t u_t^T + k_t v_t^T      k, v = `also`
        y_t = S_t^T q_t

    Within a chunk every u depends on those before it: a triangular system, that is solved for
    two right-hand sides, one for S before the chunk and one without it. After that, a chunk is
    a few matrix products, and a step from chunk to chunk one. No decay is divided by another:
    over several steps it is the exponential of a sum of numbers at most 0.

    Source: Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule over Sequence
        Length", arXiv:2406.06484, section 3; with decays, Yang et al. 2024, "Gated Delta
        Networks", arXiv:2412.06464, section 3.
    Differs from it: one decay for each key is possible, and b need not be made of a.

    Args:
        q: What is read.
        a: What u reads.
        b: Where u is written.
        c: What is written beside that.
        log_decay: At most 0, and finite; one number for all keys, or one each.
        state: S_0.
        also: What is written besides, and where.
    """
    time = len(q)
    size = min(CHUNK, 1 << (time - 1).bit_length())
    q, a, b, c, log_decay = (chunks(part, size) for part in (q, a, b, c, log_decay))
    later, end = to_the_end(log_decay), log_decay.sum(-2).exp().unsqueeze(-1)
    y, added, known = torch.zeros_like(c), None, c
    if also is not None:
        k, v = (chunks(part, size) for part in also)
        y = _pairs(q, k, log_decay, itself=True) @ v
        known = known + _pairs(a, k, log_decay, itself=False) @ v
        added = (k * later).mT @ v
    system = -_pairs(a, b, log_decay, itself=False)
    sides = torch.cat([known, a * _before(log_decay)], dim=-1)
    system, sides = system.to(state), sides.to(state)  # halves are not solved, where they are met
    solved = torch.linalg.solve_triangular(system, sides, upper=False, unitriangular=True)
    without, per_state = solved.split([c.shape[-1], a.shape[-1]], dim=-1)

    before, u, written = [], [], b * later
    for n in range(len(q)):
        before.append(state)
        u.append(without[n] + per_state[n] @ state)
        state = end[n] * state + written[n].mT @ u[n]
        state = state if added is None else state + added[n]
    y = y + (q * from_the_start(log_decay)) @ torch.stack(before)
    y = y + _pairs(q, b, log_decay, itself=True) @ torch.stack(u)
    return y.movedim(-2, 1).flatten(0, 1)[:time], state


def _before(log_decay: Tensor) -> Tensor:
    """Return what is left, before each step decays it, of the state before the first step."""
    return functional.pad(log_decay[..., :-1, :], (0, 0, 1, 0)).cumsum(-2).exp()


def _pairs(read: Tensor, written: Tensor, log_decay: Tensor, *, itself: bool) -> Tensor:
    """Return how much each step of a chunk reads of what each earlier one wrote; later ones, 0.

    Args:
        read: By what it is read.
        written: Where it was written.
        log_decay: One number for all keys, or one each.
        itself: Whether a step also reads what it writes, after its own decay; or before that.
    """
    if log_decay.shape[-1] > 1:
        return _pairs_each(read, written, log_decay, itself=itself)
    steps = read.new_ones(read.shape[-2], read.shape[-2])
    passed = torch.where(steps.tril(-1).bool(), log_decay, 0)  # [read at, written at]
    decay = passed.cumsum(-2).exp().tril()
    if not itself:
        decay = functional.pad(decay[..., :-1, :], (0, 0, 1, 0))
    return (read @ written.mT) * decay


def _pairs_each(read: Tensor, written: Tensor, log_decay: Tensor, *, itself: bool) -> Tensor:
    """Do the same where each key decays on its own.

    What was written in the first half decays to its end, and then from the start of the
    second; each half by itself is a chunk of half the size.
    """
    size = read.shape[-2]
    if size == 1:
        found = (read * written).sum(-1, keepdim=True)
        return found if itself else torch.zeros_like(found)
    halves = (2, size // 2)
    read, written, log_decay = (
        torch.unflatten(part, -2, halves) for part in (read, written, log_decay)
    )
    first, second = _pairs_each(read, written, log_decay, itself=itself).unbind(-3)
    arriving = written.select(-3, 0) * to_the_end(log_decay.select(-3, 0))
    decay = log_decay.select(-3, 1)
    leaving = read.select(-3, 1) * (from_the_start(decay) if itself else _before(decay))
    top = torch.cat([first, torch.zeros_like(first)], dim=-1)
    return torch.cat([top, torch.cat([leaving @ arriving.mT, second], dim=-1)], dim=-2)
