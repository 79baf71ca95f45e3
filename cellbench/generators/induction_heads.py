"""Induction heads: tell what came after the special token, the only time it was there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from cellbench.generators.base import Answers, Batch, Generator, Reads, Tokens
from cellbench.generators.picks import LOSSES
from cellbench.generators.stream import Stream
from cellbench.options import choice, whole

SPECIAL = 0
FIRST_ORDINARY = 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InductionHeads(Generator):
    """Show a special token once among ordinary ones, then again, and ask what came after it.

    With length=10, alphabet=5, loss=answer, sequence 0 of the training stream:

        input   4 2 2 S 4 3 1 3 1 S
        target  - - - - - - - - - 4

    Id 0 is the special token (`S`), 1 to `alphabet` are the ordinary ones. The special token
    stands at one place before the last step, all places alike, and at the last step.

    Source: Olsson et al. 2022, arXiv:2209.11895; this form, Fu et al. 2022, arXiv:2212.14052,
    and Gu & Dao 2023, arXiv:2312.00752.
    Differs from it: in the counts of ids. The vocabulary of 16 is one special token and 15
    ordinary ones, as we define it; that of 20 has 18 ordinary ones and one id that is never
    shown, which is left out. loss=all asks for the next token at the other steps.

    Attributes:
        length: Steps of the sequence, the last special token included.
        alphabet: Ordinary tokens.
        loss: Where the loss looks: `answer`, the last step; or `all` steps.
    """

    length: int
    alphabet: int
    loss: str

    def __post_init__(self) -> None:
        whole("length", self.length, low=3)
        whole("alphabet", self.alphabet, low=2)
        choice("loss", self.loss, LOSSES)

    @property
    def reads(self) -> Reads:
        return self._tokens

    @property
    def answers(self) -> Answers:
        return self._tokens

    def sample(self, stream: Stream, index: Int[Tensor, "batch"]) -> Batch:
        inputs = stream.integers("ordinary", index, self.length, below=self.alphabet)
        inputs += FIRST_ORDINARY
        place = stream.integers("place", index, 1, below=self.length - 2)
        answer = inputs.gather(0, place + 1)
        inputs.scatter_(0, place, SPECIAL)
        inputs[-1] = SPECIAL
        targets = torch.cat([inputs[1:], answer])
        step = torch.arange(self.length, device=index.device).unsqueeze(1)
        scored = (step == self.length - 1).expand(self.length, len(index))
        trained = scored if self.loss == "answer" else torch.ones_like(scored)
        return Batch(inputs, targets, scored, trained)

    def trivial(self) -> float:
        return 1 / self.alphabet

    def at_length(self, length: int) -> InductionHeads:
        return replace(self, length=length)

    def oracle(self, inputs: Int[Tensor, "time batch"]) -> Int[Tensor, "time batch"]:
        """Add up what follows a special token: there is one such token."""
        after = inputs[1:].where(inputs[:-1] == SPECIAL, 0).sum(dim=0, keepdim=True)
        return torch.cat([inputs[1:], after])

    @property
    def _tokens(self) -> Tokens:
        ordinary = map(str, range(FIRST_ORDINARY, FIRST_ORDINARY + self.alphabet))
        return Tokens(FIRST_ORDINARY + self.alphabet, ("S", *ordinary))
