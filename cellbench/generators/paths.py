"""How deep brackets are: fair walks, folded to between the floor and a greatest depth."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def depths(
    up: Bool[Tensor, "time batch"], remaining: Int[Tensor, "..."], depth: int
) -> Int[Tensor, "time batch"]:
    """Return the depth after each step of a walk that ends on the floor.

    Where it may, it goes up or down as told; on the floor and at `depth` it turns round, which
    is what folding a free walk like a ribbon does; and it goes down once it must, to be on the
    floor when no step remains.
    """
    return folded((2 * up.long() - 1).cumsum(dim=0), depth).minimum(remaining)


def folded(walk: Tensor, depth: int) -> Tensor:
    """Fold a walk to between 0 and `depth`."""
    round_trip = walk.remainder(2 * depth)
    return round_trip.minimum(2 * depth - round_trip)


def moved(mass: Tensor, remaining: int) -> Tensor:
    """Return where such a walk is one step on: `[..., depth]` before and after.

    Args:
        mass: The odds of each depth, or many rows of them.
        remaining: How many steps there are before this one.
    """
    top = mass.shape[-1] - 1
    place = torch.arange(top + 1)
    rises = torch.where(place == 0, 1.0, torch.where(place == top, 0.0, 0.5)).double()
    rises = rises * (place < remaining)
    after = torch.zeros_like(mass)
    after[..., 1:] += (mass * rises)[..., :-1]
    after[..., :-1] += (mass * (1 - rises))[..., 1:]
    return after
