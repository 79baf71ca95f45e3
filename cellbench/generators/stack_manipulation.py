"""Stack manipulation: a stack, what is done to it, and what is left."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.arithmetic import (
    between,
    check_lengths,
    delayed,
    first_of,
    integers_below,
)
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import draw_lengths, steps
from cellbench.generators.stream import Stream

POP, PUSH, BLANK = 2, 3, 5
END = 2
SHORTEST = 2


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StackManipulation(Generator):
    """Show a stack of bits, pop and push, and ask for the stack that is left.

    With shortest=2, longest=7, sequence 5 of the training stream:

        input    1  1  0  1  p  p +0  .  .  .  .  .  .  .  .
        target   -  -  -  -  -  -  -  0  1  1  $  -  -  -  -

    The bits are the stack, its top last. Then `p` takes the top away, and does nothing to an
    empty stack; `+0` and `+1` put a bit on top. The answer is the stack from its top down,
    and then `$`. The first answer stands on the first blank.

    Stack and actions together are as long as was drawn, all lengths from `shortest` to
    `longest` alike; so are the places of the first action; bits are fair, and each of the
    three actions is as likely as another.

    Source: Delétang et al. 2023, arXiv:2207.02098.
    Differs from it: there is always an action. Only answers are learned, as there: nothing
    is to be said while the stack is shown.

    Attributes:
        shortest: Tokens of the shortest input; at least 2.
        longest: Tokens of the longest.
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        check_lengths(self.shortest, self.longest, low=SHORTEST)

    @property
    def reads(self) -> Reads:
        return Tokens(6, ("0", "1", "p", "+0", "+1", "."))

    @property
    def answers(self) -> Answers:
        return Tokens(3, "01$")

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        length = draw_lengths(stream, index, range(self.shortest, self.longest + 1))
        start = 1 + integers_below(stream, "start", index, length - 1)
        bits = stream.integers("bits", index, self.longest, below=2)
        actions = stream.integers("actions", index, self.longest, below=3) + POP
        step = steps(self.longest, index)
        shown = torch.where(step < start, bits, actions).where(step < length, BLANK)
        rest = torch.full_like(shown[:1], BLANK).expand(self.longest + 1, len(index))
        targets, height = self._left(shown, length)
        scored = between(len(targets), length, length + height)
        return Batch(torch.cat([shown, rest]), targets, scored, scored)

    def trivial(self) -> float:
        """Return what is right of all answers if each is the likeliest at its place.

        At a place both bits are alike, so it is a bit half the time or the end.
        """
        over = _heights(self.longest)[self.shortest - 1 :]
        ends = over / over.sum(dim=1, keepdim=True)
        bits = 1 - ends.cumsum(dim=1)
        best = torch.maximum(ends, bits / 2)
        return float(best.sum() / (bits + ends).sum())

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Read backwards: a push counts if no pop further on is left over to take it."""
        length = first_of(inputs, BLANK)
        shown = inputs[: self.longest].flip(0)
        pushes = (shown < BLANK) & (shown != POP)
        owed = ((shown == POP).long() - pushes.long()).cumsum(dim=0)
        none = torch.zeros_like(owed[:1])
        paid = torch.cat([none, owed.cummin(dim=0).values.clamp(max=0)[:-1]])
        left = pushes & (owed < paid)
        place = torch.where(left, left.cumsum(dim=0) - 1, self.longest + 1)
        bits = torch.where(shown >= PUSH, shown - PUSH, shown)
        out = inputs.new_zeros((self.longest + 2, inputs.shape[1])).scatter_(0, place, bits)[:-1]
        out = torch.where(steps(len(out), out) == left.sum(dim=0), END, out)
        return delayed(out, length, len(inputs))

    def at_length(self, length: int) -> StackManipulation:
        return replace(self, shortest=length, longest=length)

    def _left(self, shown: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets, and how high the stack is at the end."""
        pushes = (shown < BLANK) & (shown != POP)
        change = pushes.long() - (shown == POP).long()
        free = change.cumsum(dim=0)
        height = free - free.cummin(dim=0).values.clamp(max=0)  # never below the floor
        stays = pushes & (height.flip(0).cummin(dim=0).values.flip(0) == height)
        top = height[-1]
        nowhere = 2 * self.longest + 1
        place = torch.where(stays, length + top - height, nowhere)
        bits = torch.where(shown >= PUSH, shown - PUSH, shown)
        rows = shown.new_zeros((nowhere + 1, shown.shape[1]))
        rows.scatter_(0, place, bits)
        rows.scatter_(0, (length + top).unsqueeze(0), END)
        return rows[:-1], top


@functools.cache
def _heights(longest: int) -> Tensor:
    """Return, for inputs of 1 to `longest` tokens, how likely each height is at the end.

    A row need only be divided by its sum. Whatever height the stack had after n - 1 tokens,
    the last one is an action; and a stack of n bits is one that more actions may follow.
    """
    rows = torch.zeros((longest, longest + 1), dtype=torch.float64)
    now = torch.zeros(longest + 1, dtype=torch.float64)
    for length in range(1, longest + 1):
        after = torch.zeros_like(now)
        after[1:] += now[:-1] * 2 / 3
        after[:-1] += now[1:] / 3
        after[0] += now[0] / 3
        rows[length - 1] = after
        after = after.clone()
        after[length] += 1
        now = after
    return rows
