"""A linear recurrence of a matrix, solved in chunks of time by matrix products."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from cellbench.cells.scan import linear_scan

CHUNK = 32
"""Steps, a power of two. By measurement: on a CPU 16 and 64 cost up to a third more."""


def gated_linear_attention(
    q: Float[Tensor, "time *batch key"],
    k: Float[Tensor, "time *batch key"],
    v: Float[Tensor, "time *batch value"],
    log_decay: Float[Tensor, "time *batch #key"],
    state: Float[Tensor, "*batch key value"],
) -> tuple[Float[Tensor, "time *batch value"], Float[Tensor, "*batch key value"]]:
    """Return every y_t, and S_t after the last step.

        S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T
        y_t = S_t^T q_t

    What a chunk leaves behind is one step of a linear recurrence over chunks; what its steps
    read from each other is a lower triangle of products. A decay over several steps is always
    the exponential of a sum of numbers at most 0, never of a difference of two sums: neither
    does it overflow, nor is it lost beside a decay that is much stronger.

    Source: Yang et al. 2024, "Gated Linear Attention Transformers with Hardware-Efficient
        Training", arXiv:2312.06635, section 4.
    Differs from it: where each key has a decay of its own, chunks are halved down to single
        steps in place of one level of blocks; y is not divided by sqrt(key).

    Args:
        q: What is read.
        k: Where it is written.
        v: What is written.
        log_decay: At most 0, and finite; one number for all keys, or one each.
        state: S_0.
    """
    time = len(q)
    size = min(CHUNK, 1 << (time - 1).bit_length())
    q, k, v, log_decay = (chunks(tensor, size) for tensor in (q, k, v, log_decay))
    added = (k * to_the_end(log_decay)).mT @ v
    kept = log_decay.sum(-2).exp().unsqueeze(-1).expand_as(added)
    states = linear_scan(kept, added, state)
    before = torch.cat([state.unsqueeze(0), states[:-1]])
    within = _one_decay if log_decay.shape[-1] == 1 else _decay_each
    y = (q * from_the_start(log_decay)) @ before + within(q, k, v, log_decay)
    return y.movedim(-2, 1).flatten(0, 1)[:time], states[-1]


def chunks(tensor: Tensor, size: int) -> Tensor:
    """Return `[chunk, *batch, step, features]`; steps of zeros, that change no state, fill up."""
    missing = -len(tensor) % size
    if missing:
        tensor = torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])])
    return tensor.reshape(-1, size, *tensor.shape[1:]).movedim(1, -2)


def from_the_start(log_decay: Tensor) -> Tensor:
    """Return what is left at each step of the state before the first step."""
    return log_decay.cumsum(-2).exp()


def to_the_end(log_decay: Tensor) -> Tensor:
    """Return what is left after the last step of what each step wrote."""
    later = functional.pad(log_decay[..., 1:, :], (0, 0, 0, 1))
    return later.flip(-2).cumsum(-2).flip(-2).exp()


def _one_decay(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """Return what the steps of a chunk read from each other, all keys decaying alike."""
    steps = q.new_ones(q.shape[-2], q.shape[-2])
    passed = torch.where(steps.tril(-1).bool(), log_decay, 0)  # [read at, written at]
    decay = passed.cumsum(-2).exp().tril()
    return (q @ k.mT * decay) @ v


def _decay_each(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """Return what the steps of a chunk read from each other, each key decaying on its own.

    What the second half reads from the first decays to the end of the first, and then from
    the start of the second; each half by itself is a chunk of half the size.
    """
    size = q.shape[-2]
    if size == 1:
        return (q * k).sum(-1, keepdim=True) * v
    q, k, v, log_decay = (_halves(t) for t in (q, k, v, log_decay))
    first, second = _decay_each(q, k, v, log_decay).unbind(-3)
    written = k.select(-3, 0) * to_the_end(log_decay.select(-3, 0))
    read = q.select(-3, 1) * from_the_start(log_decay.select(-3, 1))
    second = second + (read @ written.mT) @ v.select(-3, 0)
    return torch.cat([first, second], dim=-2)


def _halves(tensor: Tensor) -> Tensor:
    *outer, size, features = tensor.shape
    return tensor.reshape(*outer, 2, size // 2, features)
