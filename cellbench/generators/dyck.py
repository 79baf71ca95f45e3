"""Dyck languages: which brackets may come next."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators import paths
from cellbench.generators.arithmetic import multiple
from cellbench.generators.base import Answers, Batch, Generator, Reads, Sets, Tokens
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import whole_up_to

OPENING, CLOSING = "([{<", ")]}>"
DEEPEST = 20


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Dyck(Generator):
    """Show brackets that close in order, and ask at every step which may come next.

    With kinds=2, depth=3, length=12, sequence 5 of the training stream:

        input     (   )   (   (   [   ]   )   [   ]   (   )   )
        target  ([)  ([ ([) ([)   ] ([) ([) ([] ([) ([) ([)  ([

    All brackets that open may come next, unless `depth` are open already; and the one that
    closes the last of those that are open. That the string may end here, it tells by asking
    for no bracket that closes. A string counts if every step of it is right.

    Strings are of one length, and all brackets are closed at the end. Where both are possible,
    a bracket opens or closes with even odds; its kind is uniform.

    Source: Chomsky & Schutzenberger 1963; bounds on the depth, Hewitt et al. 2020,
    arXiv:2010.07515; the sets of symbols, Suzgun et al. 2019, arXiv:1906.03648.
    Differs from it: no symbol starts or ends a string, and all are of one length, so that
    nobody knows more by it. All steps are asked, so all are learned.

    Attributes:
        kinds: Kinds of brackets, 1 to 4.
        depth: Brackets that may be open at once; up to half of the length, and to 20.
        length: Brackets of a string; even.
    """

    kinds: int
    depth: int
    length: int

    def __post_init__(self) -> None:
        whole_up_to("kinds", self.kinds, low=1, high=len(OPENING), of="four")
        multiple("length", self.length, of=2)
        half = min(self.length // 2, DEEPEST)
        whole_up_to("depth", self.depth, low=1, high=half, of="half of length, or 20")
        if self.kinds == self.depth == 1:
            raise OptionError("depth must be at least 2 with kinds=1, not 1: all would be forced.")

    @property
    def reads(self) -> Reads:
        return Tokens(2 * self.kinds, OPENING[: self.kinds] + CLOSING[: self.kinds])

    @property
    def answers(self) -> Answers:
        return Sets(2 * self.kinds, OPENING[: self.kinds] + CLOSING[: self.kinds])

    @property
    def metric(self) -> str:
        return "exact"

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        up = stream.integers("steps", index, self.length, below=2) == 1
        kinds = stream.integers("kinds", index, self.length, below=self.kinds)
        remaining = self.length - 1 - steps(self.length, index)
        depth = paths.depths(up, remaining, self.depth)
        before = torch.cat([torch.zeros_like(depth[:1]), depth[:-1]])
        opens = depth > before
        top = self._top(depth, opens, kinds)
        closed = torch.cat([top[:1], top[:-1]]) + self.kinds
        scored = torch.ones_like(opens)
        inputs = torch.where(opens, kinds, closed)
        return Batch(inputs, self._legal(depth, top), scored, scored)

    def trivial(self) -> float:
        """Return how likely the likeliest sequence of sets is."""
        return _likeliest(self.kinds, self.depth, self.length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Float[Tensor, "time batch symbols"]:
        """Keep the stack as a number, to which a bracket adds, or takes from, its own digit."""
        opens = inputs < self.kinds
        change = 2 * opens.long() - 1
        depth = change.cumsum(dim=0)
        place = torch.where(opens, depth - 1, depth).clamp(0, DEEPEST) * 3  # bits
        stack = (change * (inputs % self.kinds) << place).cumsum(dim=0)
        top = (stack >> (depth - 1).clamp(min=0) * 3) & 7
        return self._legal(depth, top)

    def at_length(self, length: int) -> Dyck:
        return replace(self, length=length)

    def _top(self, depth: Tensor, opens: Tensor, kinds: Tensor) -> Tensor:
        """Return which kind was opened last of those that are open: one pass a depth."""
        marks = steps(len(kinds), kinds) * self.kinds + kinds
        top = torch.zeros_like(kinds)
        for level in range(1, self.depth + 1):
            here = depth == level
            last = torch.where(here & opens, marks, 0).cummax(dim=0).values
            top = torch.where(here, last, top)
        return top % self.kinds

    def _legal(self, depth: Tensor, top: Tensor) -> Tensor:
        may_open = depth < self.depth
        closes = [(depth > 0) & (top == kind) for kind in range(self.kinds)]
        return torch.stack([may_open] * self.kinds + closes, dim=2).float()


@functools.cache
def _likeliest(kinds: int, depth: int, length: int) -> float:
    """Return the odds of the likeliest sequence of sets.

    Sets tell the kind of every bracket, whether none is open, and whether no more may be; in
    between they do not tell the depth, least of all if all brackets are of one kind. So it is
    the likeliest sequence of none, some and full, its strings of one kind. A row is such a
    sequence since it was last at none or full: what happened before is in its odds.
    """
    rows = torch.zeros((1, depth + 1), dtype=torch.float64)
    rows[0, 0] = 1.0
    fresh = torch.eye(depth + 1, dtype=torch.float64)[[0, depth]]
    for step in range(length):
        rows = paths.moved(rows, length - step)
        best = rows[:, [0, depth]].amax(dim=0)  # none, or full
        rows[:, [0, depth]] = 0.0
        rows = torch.cat([rows, fresh * best.unsqueeze(1)])
    return float(best[0]) * float(kinds) ** -(length // 2)
