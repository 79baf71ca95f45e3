"""How heads find their place in a memory: by content, from the last place, by moving on.

A memory has the shape [batch, slots, width]; weights are how much a head is at each slot,
[batch, heads, slots].
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

EPS = 1e-6
"""Added to each squared length, so that a vector of zeros has a cosine, 0, and a gradient."""


def cosine(
    memory: Float[Tensor, "batch slots width"], keys: Float[Tensor, "batch heads width"]
) -> Float[Tensor, "batch heads slots"]:
    """Return how much each slot points where each key does, from -1 to 1."""
    key_length = (keys.square().sum(-1, keepdim=True) + EPS).rsqrt()
    slot_length = (memory.square().sum(-1) + EPS).rsqrt()
    return torch.bmm(keys * key_length, memory.transpose(1, 2)) * slot_length.unsqueeze(1)


def by_content(
    memory: Float[Tensor, "batch slots width"],
    keys: Float[Tensor, "batch heads width"],
    strengths: Float[Tensor, "batch heads"],
) -> Float[Tensor, "batch heads slots"]:
    """Return softmax(strength * cosine): the weights of each head sum to 1."""
    return torch.softmax(strengths.unsqueeze(-1) * cosine(memory, keys), dim=-1)


def shifted(
    w: Float[Tensor, "batch heads slots"], s: Float[Tensor, "batch heads offsets"]
) -> Float[Tensor, "batch heads slots"]:
    """Return the mean of the weights moved on by -r, ..., r slots of the ring, weighed by `s`."""
    r = s.shape[-1] // 2
    moved = s[..., :1] * torch.roll(w, -r, dims=-1)
    for n in range(1, 2 * r + 1):
        moved = torch.addcmul(moved, s[..., n : n + 1], torch.roll(w, n - r, dims=-1))
    return moved


def sharpened(
    w: Float[Tensor, "batch heads slots"], gamma: Float[Tensor, "batch heads"]
) -> Float[Tensor, "batch heads slots"]:
    """Return w^gamma / sum w^gamma, of weights that are not all 0; below 0 counts as 0."""
    w = w.clamp(min=0)
    # Divided by the largest first, or a high power of many small weights would be 0 / 0. The
    # divisor has no effect on the result, so it needs no gradient.
    powers = (w / w.amax(-1, keepdim=True).detach()).pow(gamma.unsqueeze(-1))
    return powers / powers.sum(-1, keepdim=True)


def written(
    memory: Float[Tensor, "batch slots width"],
    w: Float[Tensor, "batch heads slots"],
    erase: Float[Tensor, "batch heads width"],
    add: Float[Tensor, "batch heads width"],
) -> Float[Tensor, "batch slots width"]:
    """Return the memory after every head has erased, and then every head has added."""
    for erased in (w.unsqueeze(-1) * erase.unsqueeze(2)).unbind(1):
        memory = memory * (1 - erased)
    return torch.baddbmm(memory, w.transpose(1, 2), add)
