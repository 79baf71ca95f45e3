"""What cells with a tape share: a tape is `[batch, entries, features]`, oldest entry first."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def write(
    entries: Float[Tensor, "batch entries *rest"],
    entry: Float[Tensor, "batch *rest"],
    *,
    bounded: bool,
) -> Float[Tensor, "batch after *rest"]:
    """Return the tape with one more entry at its end; a bounded one loses its first."""
    kept = entries[:, 1:] if bounded else entries
    return torch.cat([kept, entry.unsqueeze(1)], dim=1)


def read(
    weights: Float[Tensor, "batch entries"], entries: Float[Tensor, "batch entries features"]
) -> Float[Tensor, "batch features"]:
    """Return the sum of the entries by their weights; 0 of a tape that has none."""
    return torch.bmm(weights.unsqueeze(1), entries).squeeze(1)


def additive_scores(
    keys: Float[Tensor, "batch entries key"],
    query: Float[Tensor, "batch key"],
    score: Float[Tensor, "1 key"],
) -> Float[Tensor, "batch entries"]:
    """Return score . tanh(key + query) for each key."""
    return functional.linear(torch.tanh(keys + query.unsqueeze(1)), score).squeeze(-1)


def softmax_of_filled(
    scores: Float[Tensor, "batch entries"], filled: Float[Tensor, "batch entries"]
) -> Float[Tensor, "batch entries"]:
    """Return the attention to each entry, which is 0 to the free ones.

    Args:
        scores: Of all entries.
        filled: 1 for an entry that was written, 0 for one that is still free.
    """
    # A finite score, not -inf: of a tape that is all free, the softmax must not be NaN.
    scores = scores.masked_fill(filled == 0, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1) * filled
