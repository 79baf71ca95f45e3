"""Shuffle-Dyck: brackets of several kinds, each in order, whatever the others do."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.generators import paths
from cellbench.generators.arithmetic import multiple
from cellbench.generators.base import Answers, Batch, Generator, Reads, Sets, Tokens
from cellbench.generators.stream import Stream
from cellbench.options import whole_up_to

OPENING, CLOSING = "([{<", ")]}>"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ShuffleDyck(Generator):
    """Show brackets, each kind in order by itself, and ask at every step which may come next.

    With kinds=2, depth=2, length=12, sequence 5 of the training stream:

        input      (    [    (    )    ]    )    (    [    ]    )    [    ]
        target   ([) ([)]  [)] ([)]  ([)   ([  ([) ([)]  ([)   ([  ([]   ([

    A bracket may open unless `depth` of its kind are open already, and close if one of its
    kind is open. So a counter for each kind is enough, and no stack is needed.

    Each kind has a string of its own, all of one length, with all brackets closed at the end;
    where both are possible, a bracket opens or closes with even odds. The strings are shuffled
    into one, every way as likely as another.

    Source: Suzgun et al. 2019, arXiv:1906.03648.
    Differs from it: there is a greatest depth, and the kinds have as many brackets each. It is
    steps that are scored, not whole strings. All steps are asked, so all are learned.

    Attributes:
        kinds: Kinds of brackets, 2 to 4.
        depth: Brackets of a kind that may be open at once.
        length: Brackets of all kinds together; a multiple of twice as many as there are kinds.
    """

    kinds: int
    depth: int
    length: int

    def __post_init__(self) -> None:
        whole_up_to("kinds", self.kinds, low=2, high=len(OPENING), of="four")
        multiple("length", self.length, of=2 * self.kinds)
        half = self.length // self.kinds // 2
        whole_up_to("depth", self.depth, low=1, high=half, of="half of a kind's share of length")

    @property
    def reads(self) -> Reads:
        return Tokens(2 * self.kinds, OPENING[: self.kinds] + CLOSING[: self.kinds])

    @property
    def answers(self) -> Answers:
        return Sets(2 * self.kinds, OPENING[: self.kinds] + CLOSING[: self.kinds])

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        order = stream.choose("order", index, self.length, out_of=self.length)
        kind = order % self.kinds
        change = stream.integers("steps", index, self.length, below=2) * 2 - 1
        inputs = torch.zeros_like(kind)
        depths = []
        for one in range(self.kinds):
            own = kind == one
            remaining = self.length // self.kinds - own.cumsum(dim=0)
            walk = torch.where(own, change, 0).cumsum(dim=0)
            depth = paths.folded(walk, self.depth).minimum(remaining)
            before = torch.cat([torch.zeros_like(depth[:1]), depth[:-1]])
            inputs = torch.where(own, torch.where(depth > before, one, one + self.kinds), inputs)
            depths.append(depth)
        targets = _legal(torch.stack(depths, dim=2), self.depth)
        scored = torch.ones_like(kind, dtype=torch.bool)
        return Batch(inputs, targets, scored, scored)

    def trivial(self) -> float:
        """Return how likely the likeliest set is, on average over the steps."""
        return _likeliest(self.kinds, self.depth, self.length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Float[Tensor, "time batch symbols"]:
        """Count each kind."""
        shown = torch.nn.functional.one_hot(inputs, 2 * self.kinds)
        change = shown[:, :, : self.kinds] - shown[:, :, self.kinds :]
        return _legal(change.cumsum(dim=0), self.depth)

    def at_length(self, length: int) -> ShuffleDyck:
        return replace(self, length=length)


def _legal(depths: Int[Tensor, "time batch kinds"], depth: int) -> Tensor:
    return torch.cat([depths < depth, depths > 0], dim=2).float()


@functools.cache
def _likeliest(kinds: int, depth: int, length: int) -> float:
    """Return the mean, over the steps, of the odds of the likeliest set.

    A set says of each kind whether none is open, some, or as many as may be.
    """
    own = length // kinds
    mass = torch.zeros(depth + 1, dtype=torch.float64)
    mass[0] = 1.0
    states = [mass]
    for step in range(own):
        states.append(paths.moved(states[-1], own - step))
    after = torch.stack(states)
    classes = [after[:, 0], after[:, 1:depth].sum(dim=1), after[:, depth]]
    best = torch.zeros(length + 1, dtype=torch.float64)
    for chosen in itertools.combinations_with_replacement(classes, kinds):
        best = best.maximum(functools.reduce(_shuffled, chosen))
    return float(best[1:].mean())


def _shuffled(one: Tensor, other: Tensor) -> Tensor:
    """Return the odds of both, after t steps of two shuffled strings, from those of each.

    Of t steps, j are of the other with odds C(m, j) C(n, t - j) / C(n + m, t).
    """
    n, m = len(one) - 1, len(other) - 1
    of_all = torch.arange(n + m + 1).unsqueeze(1)
    of_other = torch.arange(m + 1)
    of_one = of_all - of_other
    log_odds = _log_ways(n, of_one) + _log_ways(m, of_other) - _log_ways(n + m, of_all)
    odds = log_odds.exp().where((of_one >= 0) & (of_one <= n), 0.0)
    return (odds * one[of_one.clamp(0, n)] * other).sum(dim=1)


def _log_ways(out_of: int, chosen: Tensor) -> Tensor:
    chosen = chosen.clamp(0, out_of).double()
    total = torch.tensor(out_of + 1.0, dtype=torch.float64)
    return total.lgamma() - (chosen + 1).lgamma() - (out_of - chosen + 1).lgamma()
