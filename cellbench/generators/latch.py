"""Latch: one of two symbols comes first, and has to come last."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.errors import OptionError
from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole, whole_between

FORMS = ("fixed", "random", "open")
LOSSES = ("answer", "all")
FIRST_DISTRACTOR = 2  # after x and y, the two to remember
_MOST_TAIL = 1000
_SCALE = 2**31


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Latch(Generator):
    """Show x or y, then distractors, and ask which of the two it was.

    With form=random, lag=5, distractors=3, tail=0, loss=all, sequence 0 of the training stream:

        input     y a1 a1 a3 a3 a2
        target    -  -  -  -  -  y
        trained   x  x  x  x  x  x

    With form=open, lag=3, distractors=2, tail=4, loss=answer, sequence 1 of the training stream:

        input    b  x a2 a2 a2  e  .  .  .  .
        target   -  -  -  -  -  x  -  -  -  -

    `x` and `y` are the two, `a1`, `a2` and so on the distractors. The target is what comes
    next, and the last one is scored: `x` or `y` again, `lag` steps or more after it was shown.

        fixed    the same distractors in every sequence: a1, a2, to the last, and again
        random   each equally likely at every step
        open     as random, but `b` begins a sequence and `e` is where it asks. After `lag`
                 distractors another one follows with odds of 9 in 10, each time, but never
                 more than `tail`: so the end cannot be foreseen. `.` is after it

    Source: Hochreiter & Schmidhuber 1997, experiments 2a (fixed), 2b (random) and 2c (open).
    Differs from it: in fixed, distractors need not be as many as steps (there, p - 1 of each);
    in open, the number of distractors beyond `lag`, there q, is bounded, and each is one of all
    `distractors`, there p (its formula says one of q, its text one of p). There, 2a and 2b learn
    from all steps, and 2c from the last alone.

    Attributes:
        form: fixed, random or open.
        lag: Distractors between the two, at least.
        distractors: Different ones.
        tail: How many more distractors there may be in open; 0 in the others.
        loss: Where the loss looks: at the `answer`, or `all`: at what comes next, everywhere.
    """

    form: str
    lag: int
    distractors: int
    tail: int
    loss: str

    def __post_init__(self) -> None:
        choice("form", self.form, FORMS)
        whole("lag", self.lag, low=1)
        whole("distractors", self.distractors, low=1)
        whole_between("tail", self.tail, low=0, high=_MOST_TAIL)
        choice("loss", self.loss, LOSSES)
        if self.form != "open" and self.tail:
            raise OptionError(f"tail must be 0 where form={self.form}, not {self.tail}.")

    @property
    def reads(self) -> Reads:
        return Tokens(len(self._glyphs), self._glyphs)

    @property
    def answers(self) -> Answers:
        return Tokens(len(self._glyphs), self._glyphs)

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        shown = stream.integers("shown", index, 1, below=FIRST_DISTRACTOR)
        between = FIRST_DISTRACTOR + self._distractors(stream, index)
        if self.form == "open":
            return self._open(stream, index, shown, between)
        text = torch.cat([shown, between, shown])
        asked = (steps(len(text) - 1, text) == self.lag).expand(-1, len(index))
        return Batch(text[:-1], text[1:], asked, self._trained(asked, torch.ones_like(asked)))

    def trivial(self) -> float:
        return 0.5

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Repeat the first of the two where it is asked for, and look ahead elsewhere."""
        which = (inputs == 1).any(0, keepdim=True).long()
        if self.form != "open":
            return torch.cat([inputs[1:], which])
        follows = torch.cat([inputs[1:], torch.full_like(inputs[:1], self._blank)])
        return torch.where(inputs == self._trigger, which, follows)

    def at_length(self, length: int) -> Latch:
        """Return the task with that lag."""
        return replace(self, lag=length)

    def _open(
        self,
        stream: Stream,
        index: Int[Tensor, "batch"],
        shown: Int[Tensor, "1 batch"],
        between: Int[Tensor, "time batch"],
    ) -> Batch:
        """Put the begin token first, the trigger after the last distractor, and blanks last."""
        begin = torch.full_like(shown, self._trigger - 1)
        blank = torch.full_like(shown, self._blank)
        text = torch.cat([begin, shown, between, blank, blank])
        drawn = stream.integers("tail", index, 1, below=_SCALE)
        more = (drawn >= _longer_tails(self.tail).to(index.device).unsqueeze(1)).sum(0)
        end = (2 + self.lag + more).unsqueeze(0)
        step = steps(len(text), text)
        text = torch.where(step > end, self._blank, text)
        text = text.scatter(0, end, self._trigger).scatter(0, end + 1, shown)
        inputs = torch.where(step[:-1] > end, self._blank, text[:-1])
        asked = step[:-1] == end
        return Batch(inputs, text[1:], asked, self._trained(asked, step[:-1] <= end))

    def _trained(self, asked: Tensor, everywhere: Tensor) -> Tensor:
        return asked if self.loss == "answer" else everywhere

    def _distractors(
        self, stream: Stream, index: Int[Tensor, "batch"]
    ) -> Int[Tensor, "time batch"]:
        if self.form == "fixed":
            once = torch.arange(self.lag, device=index.device) % self.distractors
            return once.unsqueeze(1).repeat(1, len(index))
        return stream.integers("distractors", index, self.lag + self.tail, below=self.distractors)

    @property
    def _glyphs(self) -> tuple[str, ...]:
        names = ("x", "y", *(f"a{number + 1}" for number in range(self.distractors)))
        return (*names, "b", "e", ".") if self.form == "open" else names

    @property
    def _trigger(self) -> int:
        return FIRST_DISTRACTOR + self.distractors + 1

    @property
    def _blank(self) -> int:
        return self._trigger + 1


@functools.lru_cache(maxsize=64)
def _longer_tails(tail: int) -> Int[Tensor, "tails"]:
    """Return from which of 2**31 numbers on the tail is longer than 0, than 1, and so on."""
    shares = [_SCALE * (10**n - 9**n) // 10**n for n in range(1, tail + 1)]
    return torch.tensor(shares, dtype=torch.int64)
