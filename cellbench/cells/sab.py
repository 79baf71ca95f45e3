"""SAB: an LSTM that stores its state now and then, and adds what it is reminded of."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cellbench import options
from cellbench.cells.base import Cell, State
from cellbench.cells.gates import apart, remember
from cellbench.cells.tape import AdditiveScore, read, write
from cellbench.errors import OptionError

TIE = 1e-7
"""Below this, a sum of differences is of scores that are equal to rounding."""


class SABState(NamedTuple):
    """What SAB remembers: its last h and c, and what it stored, oldest entry first.

    stored and keys are [batch, entries, hidden]; filled is 1 for an entry that was written
    and 0 for one that is still free, [batch, entries]. since is as wide as there were steps
    since the last one that was stored, where the store grows, and else 0 wide: no value of a
    tensor may decide what the shape of another will be. steps counts, [batch].
    """

    h: Tensor
    c: Tensor
    stored: Tensor
    keys: Tensor
    filled: Tensor
    since: Tensor
    steps: Tensor


@final
class SAB(Cell):
    """Long short-term memory with sparse attention to stored states.

        i, f, o, g = W_x x_t + W_h h_{t-1} + b                stacked in this order
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        q   = sigmoid(o) * tanh(c_t)                          a state for the time being

        a_j = v . tanh(K m_j + Q q)                           for each m_j in the store
        w_j = max(0, a_j - a_top)                             a_top: the (top + 1)th largest
        s_t = sum_j w_j m_j / sum_j w_j                       0 of an empty store
        h_t = q + s_t
        y_t = W_y [h_t; s_t] + b_y

    Every `every` steps, h_t and its key K h_t are then stored. Where the store has no more
    than `top` entries, each has the same weight, which is the limit of the above for an a_top
    far below the others.

    So a state gets a gradient from the next step, and from each later step that is reminded
    of it. In the paper the former is cut every few steps, and what is left is the sparse
    attentive backtracking; here it is not, unless `truncate` says so.

    Source: Ke et al. 2018, "Sparse Attentive Backtracking: Temporal Credit Assignment Through
    Reminding", arXiv:1809.03702.
    Differs from it: no gradient is cut by default; y_t is a layer of [h_t; s_t] as wide as
    h_t, where the paper makes the scores of its classes from the two. From its authors' code
    also: there v . tanh([q; m_j]) mixes nothing, and the differences of two scores do not
    depend on q; a_top is the top-th, so that top - 1 entries are left; scores are the weights
    of a short store; h_0 is stored. Weights start as those of torch.nn.LSTMCell and
    torch.nn.Linear, and v as Glorot and Bengio have it.

    Parameters: 4*H*(X + H) + 4*H + 2*H*H + H + 2*H*H + H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of h and c, of keys and queries, and of each output vector.
        every: How many steps there are from one that is stored to the next.
        top: How many stored states have a weight.
        tape: How many states are stored at most, more than top; 0 for no bound.
        truncate: Before each of these many steps, no gradient goes back to h and c; 0 for a
            gradient from every step. With it, gradients are not those of the outputs, by
            intention.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        every: int = 1,
        top: int = 5,
        tape: int = 0,
        truncate: int = 0,
    ) -> None:
        super().__init__()
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        options.whole("every", every, low=1)
        options.whole("top", top, low=1)
        options.whole("tape", tape, low=0)
        options.whole("truncate", truncate, low=0)
        if 0 < tape <= top:
            raise OptionError(f"tape must be 0 or more than top, but tape is {tape} and top {top}.")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.every = every
        self.top = top
        self.tape = tape
        self.truncate = truncate
        self.grows = tape == 0
        self.weight_x = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.scores = AdditiveScore(hidden_size)  # K, Q, v
        self.output = nn.Linear(2 * hidden_size, hidden_size)
        for parameter in (self.weight_x, self.weight_h, self.bias):
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def initial_state(self, batch: int) -> SABState:
        zeros = self.weight_h.new_zeros
        return SABState(
            h=zeros(batch, self.hidden_size),
            c=zeros(batch, self.hidden_size),
            stored=zeros(batch, self.tape, self.hidden_size),
            keys=zeros(batch, self.tape, self.hidden_size),
            filled=zeros(batch, self.tape),
            since=zeros(batch, 0),
            steps=zeros(batch, dtype=torch.int64),
        )

    def project(
        self, x: Float[Tensor, "time batch {self.input_size}"]
    ) -> Float[Tensor, "time batch 4*{self.hidden_size}"]:
        return functional.linear(x, self.weight_x, self.bias)

    def step(
        self, p_t: Float[Tensor, "batch 4*{self.hidden_size}"], state: State
    ) -> tuple[Float[Tensor, "batch {self.hidden_size}"], SABState]:
        h, c, stored, keys, filled, since, steps = state
        steps = steps + 1
        if self.truncate:
            cut = self._due(steps, self.truncate)
            h, c = torch.where(cut, h.detach(), h), torch.where(cut, c.detach(), c)
        gates = torch.addmm(p_t, h, self.weight_h.t())
        o, c = remember(apart(gates, 4), c)
        q = o * torch.tanh(c)
        s = read(self._sparse(self.scores(keys, q), filled), stored)
        h = q + s
        y: Tensor = self.output(torch.cat([h, s], dim=-1))
        (stored, keys, filled), since = self._store((stored, keys, filled), since, h, steps)
        return y, SABState(h, c, stored, keys, filled, since, steps)

    def _due(self, steps: Int[Tensor, " batch"], every: int) -> Tensor:
        """Tell whether a step is one of those that come every so many steps, `[batch, 1]`."""
        return (steps % every == 0).unsqueeze(1)

    def _sparse(
        self, scores: Float[Tensor, "batch entries"], filled: Float[Tensor, "batch entries"]
    ) -> Float[Tensor, "batch entries"]:
        """Return the weight of each entry."""
        count = filled.sum(dim=1, keepdim=True)
        uniform = filled / count.clamp(min=1)
        if scores.shape[1] <= self.top:
            return uniform
        # A finite score, not -inf: where all are this one, their differences must not be NaN.
        scores = scores.masked_fill(filled == 0, torch.finfo(scores.dtype).min)
        over = torch.relu(scores - scores.topk(self.top + 1, dim=1).values[:, -1:])
        w = over / over.sum(dim=1, keepdim=True).clamp(min=TIE)
        return torch.where(count > self.top, w, uniform)

    def _store(
        self,
        store: tuple[Tensor, Tensor, Tensor],
        since: Float[Tensor, "batch waited"],
        h: Float[Tensor, "batch {self.hidden_size}"],
        steps: Int[Tensor, " batch"],
    ) -> tuple[list[Tensor], Float[Tensor, "batch waits"]]:
        """Return the store, with h in it if it is time for that, and the next `since`."""
        one = torch.ones_like(h[:, :1])
        if self.grows and since.shape[1] + 1 < self.every:
            return list(store), torch.cat([since, one], dim=1)
        entry = (h, self.scores.key(h), one.squeeze(1))
        new = [write(p, e, bounded=not self.grows) for p, e in zip(store, entry, strict=True)]
        if self.grows:
            return new, since[:, :0]
        due = self._due(steps, self.every)
        kept = [
            torch.where(due.reshape(-1, *(1,) * (part.dim() - 1)), part, old)
            for part, old in zip(new, store, strict=True)
        ]
        return kept, since
