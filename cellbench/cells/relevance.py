"""Relevancy screening: a memory of the last few states, and of those that mattered before."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from cellbench.cells.tape import read, softmax_of_filled, write


class Relevant(NamedTuple):
    """The memory, [batch, entries] or [batch, entries, features].

    First the relevant set, in no order, then the buffer of the last steps, oldest first.
    filled is 1 for an entry that was written, and 0 for one that is still free; relevance is
    the attention that an entry got while it was in the buffer.
    """

    h: Tensor
    keys: Tensor
    filled: Tensor
    relevance: Tensor


def nothing_yet(h: Float[Tensor, "batch entries hidden"]) -> Relevant:
    """Return a memory that is all free; `h` is zeros."""
    marks = torch.zeros_like(h[..., 0])
    return Relevant(h, keys=torch.zeros_like(h), filled=marks, relevance=marks.clone())


def mix(
    memory: Relevant, scores: Float[Tensor, "batch entries"], recent: int
) -> tuple[Float[Tensor, "batch hidden"], Relevant]:
    """Return s = (h_last + sum_j p_j h_j) / 2 with p = softmax(scores), and p in the relevance.

    Relevance only chooses, so no gradient goes through it; and only what is in the buffer
    gains any, since the set is of those that were relevant when they were new.

    Args:
        memory: Of the past steps.
        scores: What is asked for.
        recent: How many of the entries are the buffer.
    """
    p = softmax_of_filled(scores, memory.filled)
    s = (memory.h[:, -1] + read(p, memory.h)) / 2
    gained = functional.pad(p[:, -recent:].detach(), (p.shape[1] - recent, 0))
    return s, memory._replace(relevance=memory.relevance + gained)


def keep(
    memory: Relevant,
    h: Float[Tensor, "batch hidden"],
    key: Float[Tensor, "batch hidden"],
    recent: int,
) -> Relevant:
    """Return the memory with `h` in its buffer, whose oldest entry may have joined the set.

    It takes a free place, if there is one; else that of the least relevant, if that is less
    relevant.
    """
    relevant = memory.filled.shape[1] - recent
    rank = memory.relevance.masked_fill(memory.filled == 0, -torch.inf)
    place = rank[:, :relevant].argmin(dim=1, keepdim=True)
    joins = rank[:, relevant : relevant + 1] > rank.gather(1, place)
    here = torch.arange(relevant, device=h.device) == place
    replaced = here & joins
    one = torch.ones_like(h[:, 0])
    new = Relevant(h, key, filled=one, relevance=torch.zeros_like(one))
    return Relevant(
        *(_write(entries, entry, replaced) for entries, entry in zip(memory, new, strict=True))
    )


def _write(
    entries: Float[Tensor, "batch entries *rest"],
    entry: Float[Tensor, "batch *rest"],
    replaced: Bool[Tensor, "batch relevant"],
) -> Float[Tensor, "batch entries *rest"]:
    """Move the oldest entry of the buffer to where it is to replace, and add `entry`."""
    relevant = replaced.shape[1]
    kept, buffer = entries[:, :relevant], entries[:, relevant:]
    where = replaced.reshape(*replaced.shape, *(1,) * (entries.dim() - 2))
    kept = torch.where(where, buffer[:, :1], kept)
    return torch.cat([kept, write(buffer, entry, bounded=True)], dim=1)
