"""Random permutation: remember the first symbol while all others come in random order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.lengths import steps
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole

FIRST_SYMBOLS = 2
LOSSES = ("answer", "all")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RandomPermutation(Generator):
    """Show one of two symbols, then all others in random order; the first one comes back.

    With others=8, loss=answer, sequence 5 of the training stream:

        input   x 7 8 4 5 2 9 6 3
        target  - - - - - - - - x

    Token ids and classes: 0 and 1 the two symbols that come first (`x` and `y`), then those
    between, each of which comes once (as numbers from 2). Every target is the next token;
    only the last is scored. Nothing marks it: it is due when all others have been there.

    Source: Martens & Sutskever 2011, "Learning Recurrent Neural Networks with Hessian-Free
    Optimization".
    Differs from it: as we define it: two symbols may come first, and all others come once.
    The loss looks at the last symbol unless loss=all.

    Attributes:
        others: Symbols between the first one and its return.
        loss: Where the loss looks: `answer`, the symbol that comes back; `all`, the next
            symbol throughout, though all but the last are noise.
    """

    others: int
    loss: str

    def __post_init__(self) -> None:
        whole("others", self.others, low=1)
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return self._tokens

    @property
    def answers(self) -> Answers:
        return self._tokens

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        first = stream.integers("first", index, 1, below=FIRST_SYMBOLS)
        between = stream.choose("between", index, self.others, out_of=self.others)
        text = torch.cat([first, between + FIRST_SYMBOLS, first])
        inputs, targets = text[:-1], text[1:]
        scored = (steps(len(inputs), index) == len(inputs) - 1).expand_as(inputs)
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        return Batch(inputs, targets, scored, trained)

    def trivial(self) -> float:
        return 1 / FIRST_SYMBOLS

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Look for the second of the two symbols, wherever it stands.

        Where nothing is scored, the target is the next token, which can be seen.
        """
        last = (inputs == FIRST_SYMBOLS - 1).any(dim=0, keepdim=True).long()
        return torch.cat([inputs[1:], last])

    @property
    def _tokens(self) -> Tokens:
        numbers = tuple(map(str, range(FIRST_SYMBOLS, FIRST_SYMBOLS + self.others)))
        return Tokens(FIRST_SYMBOLS + self.others, ("x", "y", *numbers))
