"""What cells with a tape share: a tape is `[batch, entries, features]`, oldest entry first."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
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


@final
class AdditiveScore(nn.Module):
    """How much a state asks for each entry: score . tanh(key + W_query s).

    A key, W_key h, is written on the tape beside its entry h, so that it is made once.

    Source: Bahdanau et al. 2015, "Neural Machine Translation by Jointly Learning to Align and
    Translate", arXiv:1409.0473.
    Differs from it: score starts as Glorot and Bengio have it, from a normal distribution, the
    others as those of torch.nn.Linear.

    Args:
        hidden_size: Features of entries, of what asks, and of keys.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)
        self.query = nn.Linear(hidden_size, hidden_size, bias=False)
        self.score = nn.Parameter(torch.empty(1, hidden_size))
        nn.init.xavier_normal_(self.score)

    def forward(
        self, keys: Float[Tensor, "batch entries hidden"], s: Float[Tensor, "batch hidden"]
    ) -> Float[Tensor, "batch entries"]:
        """Return one score for each key."""
        summed = keys + self.query(s).unsqueeze(1)
        return functional.linear(torch.tanh(summed), self.score).squeeze(-1)
